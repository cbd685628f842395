/* The bench suite: what training costs on a device. `clnorm bench WHAT`, one file per WHAT. */
#ifndef CLN_BENCH_H
#define CLN_BENCH_H

int cln_bench_step(int argc, char **argv);

#endif
