/* Numbers to test with, and how far results are from what they should be. */
#ifndef CLN_TEST_VALUES_H
#define CLN_TEST_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for count elements and one more, all 0: the references' only allocator, so that their formulas need no errors.
 * Where there is no memory the process ends here, with one line and clnorm's exit status for it. */
void *cln_test_alloc(size_t count, size_t size);

/* count floats in (-1, 1), the same for the same seed; from cln_test_alloc. */
float *cln_test_random(size_t count, uint32_t seed);

typedef struct cln_test_difference {
    double nmse; /* sum (got - want)^2 / sum want^2 */
    double max;  /* max |got - want| / max |want| */
    bool finite; /* no NaN and no infinity in got */
} cln_test_difference;
cln_test_difference cln_test_compare(const float *got, const double *want, size_t count);

#endif
