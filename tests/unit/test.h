/* test.h -- includes cmocka behind the four headers that it needs before it; clang-format must not sort these. */
#ifndef TEST_H
#define TEST_H
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#endif
