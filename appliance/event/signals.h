/* signals.h -- signals become callbacks on the main loop. */
#ifndef EVENT_SIGNALS_H
#define EVENT_SIGNALS_H
#include "base/compiler.h"

struct ap_loop;
struct ap_signal;

AP_PUBLIC_BEGIN
struct ap_signal *ap_signal_watch(struct ap_loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg);
void ap_signal_free(struct ap_signal **s);
AP_PUBLIC_END

#endif
