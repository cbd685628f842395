/* NumPy's format for one array, as numpy.load reads it: a line of Python that tells type and shape, then the values.
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0.) */
#ifndef CLN_NPY_H
#define CLN_NPY_H

#include "error.h"

/* Writes a matrix of float32, row by row, atomically (as cln_file_write_atomic). CLN_ERR_IO. */
int cln_npy_write(const char *path, const float *values, size_t rows, size_t columns, cln_error *err);

#endif
