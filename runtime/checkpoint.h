/* Weights and training state in safetensors files. The trainer's save, load, export and import (clnorm.h) are
 * here, and what `clnorm eval` needs to rebuild a network from an exported file alone.
 *
 * checkpoint.safetensors: "model.NAME", "optim.m.NAME", "optim.v.NAME", "ema.NAME" in the device's layout, "train.totals",
 *     and in the metadata the settings, the resolved plan, epoch, step and seconds.
 * model.safetensors: "NAME" in PyTorch's layout (convolution O,I,H,W; dense out,in with in as C,H,W), and in the
 *     metadata the .net text, norm, classes and the normalisation of the input. */
#ifndef CLN_CHECKPOINT_H
#define CLN_CHECKPOINT_H

#include "safetensors.h"
#include "train.h"

/* What an exported file says of its network. */
typedef struct cln_model_info {
    char name[64], norm[32];
    char *text;              /* the .net; points into the cln_st_file */
    int groups, classes;
    cln_shape input;         /* n = 1 */
    float mean[4], std[4];
} cln_model_info;

/* CLN_ERR_CHECKPOINT where clnorm did not export the file; cln_model_info_in tells whether it did. */
int cln_model_info_read(const cln_st_file *st, cln_model_info *out, cln_error *err);
bool cln_model_info_in(const cln_st_file *st);

/* Copies every parameter and state of an exported file, or of a state dict that PyTorch saved, into the plan: validated
 * in full before anything is written. CLN_ERR_CHECKPOINT names the first tensor that is missing, of another type or
 * shape, or surplus; a batch norm's num_batches_tracked may be there and is not read. */
int cln_weights_import(cln_plan *plan, const cln_st_file *st, cln_error *err);

#endif
