// What a step of training launches besides its layers, as one program: before the first line of a program some compilers
// take as long as for a whole file of small kernels (cl/NOTES.md).

#include "feed.cl"
#include "loss.cl"
#include "optim.cl"
