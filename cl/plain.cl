// The kernels that no width of vectors changes, as one program: before the first line of a program some compilers take as
// long as for a whole file of small kernels (cl/NOTES.md).

#include "conv_simt.cl"
#include "feed.cl"
#include "loss.cl"
#include "norm_simt.cl"
#include "optim.cl"
