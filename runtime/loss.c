#include "loss.h"

#include <stdlib.h>

size_t cln_loss_bytes(int batch, int images)
{
    const size_t rows = (size_t)batch * 4, all = (size_t)(images > batch ? images : batch) * 4;
    return 4 * rows + 2 * all + sizeof(cln_totals) + sizeof(int32_t);
}

int cln_loss_new(cln_device *dev, int batch, int classes, int images, int local, cln_loss **out, cln_error *err)
{
    cln_loss *l = calloc(1, sizeof *l);
    if (!l)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    *l = (cln_loss){.dev = dev, .classes = classes, .local = local, .share = 1.0};
    const size_t rows = (size_t)batch * 4, all = (size_t)(images > batch ? images : batch) * 4;
    const struct {
        cln_tensor *tensor;
        size_t bytes;
    } list[] = {{&l->labels, rows},  {&l->others, rows}, {&l->losses, rows},    {&l->hits, rows},          {&l->predicted, all},
                {&l->confidence, all}, {&l->totals, sizeof(cln_totals)}, {&l->bad, sizeof(int32_t)}};
    int rc = CLN_OK;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && !rc; i++)
        rc = cln_tensor_new(dev, list[i].bytes, "the loss", list[i].tensor, err);
    if (!rc)
        rc = cln_kernel_new(dev, "plain.cl", "loss_rows", "", &l->rows, err);
    if (!rc)
        rc = cln_kernel_new(dev, "plain.cl", "loss_sum", "", &l->sum, err);
    if (!rc)
        rc = cln_loss_reset(l, NULL, err);
    if (rc) {
        cln_loss_free(l);
        return rc;
    }
    *out = l;
    return CLN_OK;
}

void cln_loss_free(cln_loss *l)
{
    if (!l)
        return;
    cln_tensor *all[] = {&l->labels, &l->others, &l->losses, &l->hits, &l->predicted, &l->confidence, &l->totals, &l->bad};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cln_tensor_free(all[i]);
    cln_kernel_free(&l->rows);
    cln_kernel_free(&l->sum);
    free(l);
}

int cln_loss_run(cln_loss *l, cln_tensor logits, cln_tensor dlogits, int n, int of, double smoothing, int base,
                 int step, cln_error *err)
{
    int rc = cln_run(&l->rows, cln_range1((size_t)n, (size_t)l->local), err, CLN_MEM(logits), CLN_MEM(l->labels),
                     CLN_MEM(l->share < 1.0 ? l->others : l->labels),
                     CLN_MEM(dlogits), CLN_MEM(l->losses), CLN_MEM(l->hits), CLN_MEM(l->predicted),
                     CLN_MEM(l->confidence), CLN_INT(n), CLN_INT(of), CLN_INT(l->classes), CLN_FLOAT(smoothing), CLN_FLOAT(l->share), CLN_INT(base),
                     CLN_INT(dlogits.mem != NULL));
    return rc ? rc
              : cln_run(&l->sum, cln_range1(1, 1), err, CLN_MEM(l->losses), CLN_MEM(l->hits), CLN_MEM(l->totals),
                        CLN_MEM(l->bad), CLN_INT(n), CLN_INT(step));
}

int cln_loss_reset(cln_loss *l, const cln_totals *totals, cln_error *err)
{
    const cln_totals zero = {0, 0, 0, 0};
    const int32_t none = -1;
    int rc = cln_tensor_write(l->dev, l->totals, 0, totals ? totals : &zero, sizeof zero, err);
    return rc ? rc : cln_tensor_write(l->dev, l->bad, 0, &none, sizeof none, err);
}

int cln_loss_read(cln_loss *l, cln_totals *totals, int *bad_step, cln_error *err)
{
    int32_t bad = -1;
    int rc = cln_tensor_read(l->dev, l->totals, 0, totals, sizeof *totals, err);
    if (!rc)
        rc = cln_tensor_read(l->dev, l->bad, 0, &bad, sizeof bad, err);
    *bad_step = bad;
    return rc;
}
