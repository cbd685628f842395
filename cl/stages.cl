// The layers without weights of a convolution, as one program (see step.cl).

#include "norm.cl"
#include "point.cl"
#include "pool.cl"
