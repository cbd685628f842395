// The layers without weights of a convolution, and what folds them into those weights, as one program (see plain.cl).

#include "conv_fold.cl"
#include "norm.cl"
#include "point.cl"
#include "gate.cl"
#include "pool.cl"
