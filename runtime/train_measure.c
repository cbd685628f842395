/* The memory of a trainer, before there is one. */
#include "train.h"

int cln_train_measure(cln_device *dev, const cln_train_options *o, cln_shape image, int classes, int n_train, int n_test,
                      cln_train_memory *out, cln_error *err)
{
    const cln_plan_options options = {.tune = {(cln_class)o->kernel_class, o->conv}, .fuse = o->fuse};
    const bool adam = o->optimizer == CLN_OPTIMIZER_ADAMW;
    cln_plan_memory plan;
    cln_net *net = NULL;
    int images = o->batch;
    image.n = o->batch;
    int rc = cln_train_net(o, image, classes, &net, err);
    if (!rc)
        rc = cln_train_images(dev, net, o, &images, err);
    image.n = images;
    if (!rc && images < o->batch)
        rc = cln_train_net(o, image, classes, &net, err);
    if (!rc)
        rc = cln_plan_measure(dev, net, &options, &plan, err);
    const size_t muon = rc || o->optimizer != CLN_OPTIMIZER_MUON ? 0 : cln_muon_bytes(net, plan.weights);
    cln_net_free(net);
    if (rc)
        return rc;
    *out = (cln_train_memory){
        .weights = (plan.weights + plan.states) * (o->ema > 0 ? 2 : 1),
        .gradients = plan.grads * (images < o->batch ? 2 : 1), /* a part's, and the sum of the parts' */
        .optimizer = plan.weights * (adam ? 2 : 1) + muon,
        .activations = plan.activations,
        .workspace = plan.workspace,
        .data = cln_feed_bytes(n_train, image.c, image.h, image.w) + cln_feed_bytes(n_test, image.c, image.h, image.w) +
                cln_loss_bytes(images, n_test) + (o->mixup > 0 ? cln_shape_count(image) * sizeof(float) : 0),
        .images = images};
    return CLN_OK;
}
