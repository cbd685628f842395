/* Eigenvalues and vectors of small symmetric matrices. */
#ifndef CLN_EIGEN_H
#define CLN_EIGEN_H

/* Cyclic Jacobi (Golub & Van Loan, section 8.5) on the n x n matrix a, of which the diagonal is left: the eigenvalues,
 * descending. Column k of v (n x n) is the unit vector of value k, its largest component positive. */
void cln_eigen_symmetric(double *a, double *v, int n);

#endif
