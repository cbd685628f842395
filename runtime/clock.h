/* Time, for rates and for what takes how long. */
#ifndef CLN_CLOCK_H
#define CLN_CLOCK_H

/* Seconds of a clock that nobody sets, from some moment that differs from machine to machine. */
double cln_now(void);

#endif
