#include "muon.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 5, ROWS = 4 /* muon.cl's */ };

extern const cln_op cln_op_dwconv;

/* Those of a depthwise convolution are a vector for each channel. */
static bool is_matrix(const cln_layer *layer, const cln_param *p)
{
    return (p->rank == 2 || p->rank == 4) && layer->op != &cln_op_dwconv;
}

static int columns_of(const cln_param *p)
{
    return p->dims[p->rank - 1];
}

/* The last layer that has a matrix turns features into logits, each of which has a scale of its own. */
static int last_layer(const cln_net *net)
{
    int last = -1;
    for (int i = 0; i < net->n_layers; i++) {
        cln_params p = {0};
        if (net->layers[i].op->params)
            net->layers[i].op->params(&net->layers[i], &p);
        for (int k = 0; k < p.n_params; k++)
            last = is_matrix(&net->layers[i], &p.param[k]) ? i : last;
    }
    return last;
}

size_t cln_muon_bytes(const cln_net *net, size_t weights)
{
    size_t bytes = 2 * weights + 4 * sizeof(cl_int) + 2 * sizeof(float);
    for (int i = 0; i < last_layer(net); i++) {
        cln_params p = {0};
        if (net->layers[i].op->params)
            net->layers[i].op->params(&net->layers[i], &p);
        for (int k = 0; k < p.n_params; k++)
            if (is_matrix(&net->layers[i], &p.param[k])) {
                const size_t columns = (size_t)columns_of(&p.param[k]);
                bytes += 4 * sizeof(cl_int) + 2 * columns * columns * sizeof(float);
            }
    }
    return bytes;
}

/* Fills the table; how many floats the gram matrices have in all. */
static size_t list_matrices(cln_muon *m, const cln_plan *plan, cl_int *table)
{
    const int last = last_layer(plan->net);
    size_t squares = 0;
    m->v = 16;
    for (int i = 0; i < plan->n_slots; i++) {
        const cln_slot *slot = &plan->slots[i];
        if (slot->state || !is_matrix(&plan->net->layers[slot->layer], &slot->param) || slot->layer == last)
            continue;
        const int columns = columns_of(&slot->param);
        cl_int *t = table + 4 * m->n++;
        t[0] = (cl_int)slot->offset;
        t[1] = (cl_int)slot->count / columns;
        t[2] = columns;
        t[3] = (cl_int)squares;
        m->v = cln_min(m->v, cln_tune_width(&plan->dev->info, plan->nodes[0].tune.cls, columns));
        squares += (size_t)columns * (size_t)columns;
    }
    return squares;
}

static void count_items(cln_muon *m, const cl_int *table)
{
    for (const cl_int *t = table; t < table + 4 * m->n; t += 4) {
        const size_t rows = (size_t)cln_div_up(t[1], ROWS), across = (size_t)(t[2] / m->v);
        const size_t gram = (size_t)cln_div_up(t[2], ROWS) * across, poly = (size_t)t[2] * across;
        m->gram_items = gram > m->gram_items ? gram : m->gram_items;
        m->poly_items = poly > m->poly_items ? poly : m->poly_items;
        m->apply_items = rows * across > m->apply_items ? rows * across : m->apply_items;
    }
}

static int new_kernels(cln_muon *m, cln_error *err)
{
    static const char *const names[] = {"muon_momentum", "muon_gram", "muon_poly", "muon_apply", "muon_step"};
    cln_kernel *const to[] = {&m->momentum, &m->gram_of, &m->poly_of, &m->apply, &m->step};
    char options[32];
    snprintf(options, sizeof options, "-D V=%d", m->v);
    int rc = CLN_OK;
    for (int i = 0; i < 5 && !rc; i++)
        rc = cln_kernel_new(m->dev, "muon.cl", names[i], options, to[i], err);
    return rc;
}

int cln_muon_new(const cln_plan *plan, int chunk, int local, cln_muon **out, cln_error *err)
{
    static const char what[] = "optimiser state";
    cln_muon *m = calloc(1, sizeof *m);
    cl_int *table = calloc((size_t)plan->n_slots + 1, 4 * sizeof *table);
    size_t squares = 0;
    int rc = m && table ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc) {
        m->dev = plan->dev;
        m->count = (int)plan->n_weights;
        m->decay = (int)plan->n_decay;
        m->chunk = chunk;
        m->local = local;
        squares = list_matrices(m, plan, table);
        count_items(m, table);
        if (squares > INT_MAX)
            rc = CLN_FAIL(err, CLN_ERR_MODEL, "muon's matrices for this network have %zu values, more than the 2^31 - 1 that they may "
                          "have: choose --optimizer sgd or adamw", squares);
    }
    if (!rc)
        rc = cln_tensor_new(m->dev, plan->weights.bytes, what, &m->s, err);
    if (!rc)
        rc = cln_tensor_new(m->dev, plan->weights.bytes, what, &m->other, err);
    if (!rc)
        rc = cln_tensor_new(m->dev, (squares + 1) * sizeof(float), what, &m->gram, err);
    if (!rc)
        rc = cln_tensor_new(m->dev, (squares + 1) * sizeof(float), what, &m->poly, err);
    if (!rc)
        rc = cln_tensor_new(m->dev, ((size_t)m->n + 1) * 4 * sizeof *table, what, &m->table, err);
    if (!rc)
        rc = cln_tensor_write(m->dev, m->table, 0, table, ((size_t)m->n + 1) * 4 * sizeof *table, err);
    if (!rc)
        rc = new_kernels(m, err);
    free(table);
    if (rc) {
        cln_muon_free(m);
        return rc;
    }
    *out = m;
    return CLN_OK;
}

void cln_muon_free(cln_muon *m)
{
    if (!m)
        return;
    cln_tensor *const tensors[] = {&m->s, &m->other, &m->table, &m->gram, &m->poly};
    cln_kernel *const kernels[] = {&m->momentum, &m->gram_of, &m->poly_of, &m->apply, &m->step};
    for (int i = 0; i < 5; i++) {
        cln_tensor_free(tensors[i]);
        cln_kernel_free(kernels[i]);
    }
    free(m);
}

static int orthogonalise(cln_muon *m, cln_error *err)
{
    const size_t n = (size_t)m->n, local = (size_t)m->local;
    const cln_range gram = cln_range3(m->gram_items, n, 1, local), poly = cln_range3(m->poly_items, n, 1, local),
                    apply = cln_range3(m->apply_items, n, 1, local);
    int rc = CLN_OK;
    for (int i = 0; i < STEPS && !rc; i++) {
        const cln_tensor from = i % 2 ? m->other : m->s, to = i % 2 ? m->s : m->other;
        rc = cln_run(&m->gram_of, gram, err, CLN_MEM(from), CLN_MEM(m->table), CLN_MEM(m->gram));
        if (!rc)
            rc = cln_run(&m->poly_of, poly, err, CLN_MEM(m->gram), CLN_MEM(m->table), CLN_MEM(m->poly),
                         CLN_INT(i == 0), CLN_INT(i == STEPS - 1));
        if (!rc)
            rc = cln_run(&m->apply, apply, err, CLN_MEM(from), CLN_MEM(m->table), CLN_MEM(m->poly), CLN_MEM(to));
    }
    return rc;
}

int cln_muon_step(cln_muon *m, const cln_plan *plan, cln_tensor grads, cln_tensor moments, double lr, double rest,
                  double momentum, bool nesterov, double weight_decay, cln_error *err)
{
    const cln_range all = cln_range1((size_t)cln_div_up(m->count, m->chunk), (size_t)m->local);
    int rc = cln_run(&m->momentum, all, err, CLN_MEM(grads), CLN_MEM(moments), CLN_MEM(m->s), CLN_MEM(m->other),
                     CLN_INT(m->count), CLN_INT(m->chunk), CLN_FLOAT(momentum), CLN_INT(nesterov));
    if (!rc)
        rc = orthogonalise(m, err);
    return rc ? rc
              : cln_run(&m->step, all, err, CLN_MEM(plan->weights), CLN_MEM(STEPS % 2 ? m->other : m->s), CLN_INT(m->count), CLN_INT(m->decay),
                        CLN_INT(m->chunk), CLN_FLOAT(lr), CLN_FLOAT(rest), CLN_FLOAT(weight_decay));
}
