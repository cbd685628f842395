/* Errors: a code from one table, and a filled-in text that says what, where and what to do.
 * Nothing in the library prints or exits; every fallible function returns 0 or a negative code. */
#ifndef CLN_ERROR_H
#define CLN_ERROR_H

#include "clnorm.h" /* cln_error, the CLN_ERR_* codes */

#if defined(__GNUC__)
#define CLN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define CLN_PRINTF(fmt, args)
#endif

/* Fills *err (may be NULL) with `code`, the place and one line of text; returns `code`.
 * A first error is not overwritten by the clean-up that follows it: callers pass NULL there. */
int cln_error_set(cln_error *err, int code, const char *file, int line, const char *fmt, ...)
    CLN_PRINTF(5, 6);

/* The same for a failed OpenCL call: names the call and the CL status ("clCreateBuffer: CL_OUT_OF_RESOURCES (-5)"). */
int cln_error_cl(cln_error *err, int status, const char *call, const char *file, int line);

/* "CL_INVALID_WORK_GROUP_SIZE" for -54; "unknown OpenCL status" for what is not in the table. */
const char *cln_cl_status_name(int status);

/* The macros exist for __FILE__ and __LINE__ alone. */
#ifdef __clang_analyzer__ /* so that it knows that the value is not 0 */
#define CLN_FAIL(err, code, ...) (cln_error_set((err), (code), __FILE__, __LINE__, __VA_ARGS__), (code))
#else
#define CLN_FAIL(err, code, ...) cln_error_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)
#endif
#define CLN_FAIL_CL(err, status, call) cln_error_cl((err), (status), (call), __FILE__, __LINE__)

#endif
