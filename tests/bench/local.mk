# Benchmarks print numbers and never pass or fail; their programs are built on demand: make tests/bench/load
EXTRA_PROGRAMS = tests/bench/load
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_CFLAGS = $(AM_CFLAGS)
EXTRA_DIST += tests/bench/bench_l4.py tests/bench/bench_l7.py
