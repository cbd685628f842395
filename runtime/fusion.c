#include "fusion.h"

int cln_fusion_readers(const cln_net *net, int i, int *first, int *last)
{
    int count = 0;
    *first = *last = -1;
    for (int j = i + 1; j < net->n_layers; j++)
        for (int k = 0; k < net->layers[j].n_inputs; k++)
            if (net->layers[j].input[k] == i) {
                if (!count++)
                    *first = j;
                *last = j;
            }
    return count;
}

int cln_fusion_owner(const cln_plan *plan, int i)
{
    while (i >= 0 && plan->nodes[i].skip)
        i = plan->net->layers[i].input[0];
    return i;
}

int cln_fusion_end(const cln_plan *plan, int i)
{
    int first, last;
    while (i >= 0 && cln_fusion_readers(plan->net, i, &first, &last) == 1 && plan->nodes[first].skip)
        i = first;
    return i;
}

/* Lets the host at `h` swallow the activation and the pool behind it; returns the last layer of the stage. finished: as from
 * finished_by, which knows of no smooth activation. */
static int absorb_followers(cln_plan *plan, int h, int finished)
{
    const cln_net *net = plan->net;
    cln_stage *stage = plan->nodes[h].stage;
    const int pool = finished ? finished : 2;
    int end = h, first, last;
    while (plan->options.fuse && cln_fusion_readers(net, end, &first, &last) == 1) {
        const cln_layer *next = &net->layers[first];
        const cln_absorb what = next->op->absorb && next->n_inputs == 1 ? next->op->absorb(next) : CLN_ABSORB_NO;
        const bool first_act = !stage->relu && !stage->smooth && stage->pool == 1;
        if (what == CLN_ABSORB_RELU && first_act)
            stage->relu = true;
        else if (cln_absorb_smooth(what) && first_act && !finished)
            stage->smooth = cln_absorb_smooth(what);
        else if (what == CLN_ABSORB_POOL2 && stage->pool < pool)
            stage->pool = 2;
        else
            break;
        plan->nodes[first].skip = true;
        end = first;
    }
    return end;
}

/* The smooth activation that the node's kernels know; they know one alone. */
static int smooth_before(const cln_node *node)
{
    const cln_stage *before = node->sums_for ? node->sums_for : node->applies;
    return before ? before->smooth : 0;
}

/* What the consumer of the stage that begins at `host` and ends at layer `end` does for it. */
static void fuse_consumer(cln_plan *plan, int host, int end)
{
    const cln_net *net = plan->net;
    cln_stage *stage = plan->nodes[host].stage;
    int first, last;
    const int count = cln_fusion_readers(net, end, &first, &last);
    if (!count || net->layers[first].input[0] != end)
        return;
    cln_node *consumer = &plan->nodes[first]; /* in backward it is the last to add to dy */
    const cln_op *op = net->layers[first].op;
    if (stage->norm && !plan->options.inference && op->sum_rows) {
        stage->sum_rows = op->sum_rows(consumer, stage);
        consumer->sums_for = stage->sum_rows ? stage : NULL;
    }
    if (count == 1 && stage->pool == 1 && op->applies && op->applies(consumer)) {
        stage->deferred = true;
        stage->merged = plan->options.inference && stage->norm && !net->layers[host].op->known_statistics &&
                        op->merges && op->merges(consumer);
        consumer->applies = stage;
    }
}

/* What the producer does, which knows by now what the consumer does. */
static void fuse_producer(cln_plan *plan, int host)
{
    const cln_net *net = plan->net;
    cln_stage *stage = plan->nodes[host].stage;
    const int from = net->layers[host].input[0];
    if (from < 0)
        return;
    const bool known = plan->options.inference && net->layers[host].op->known_statistics;
    const cln_op *op = net->layers[from].op;
    cln_node *producer = &plan->nodes[from];
    if (stage->norm && !known && op->stat_rows) {
        stage->stat_rows = op->stat_rows(producer);
        producer->stats_for = stage->stat_rows ? stage : NULL;
    }
    int first, last;
    const bool knows = cln_stage_masked(stage) || stage->smooth == smooth_before(producer);
    if (!plan->options.inference && knows && cln_fusion_readers(net, from, &first, &last) == 1 && op->derives &&
        op->derives(producer, stage)) {
        stage->derived = true;
        producer->behind = stage;
    }
}

/* At inference: whether the layer before the host at `h` can do all that its stage does, with the norm's scale in its
 * weights; up to which pooling. 0: no. */
static int finished_by(const cln_plan *plan, int h)
{
    const cln_net *net = plan->net;
    const int from = net->layers[h].input[0];
    const bool known = !plan->nodes[h].stage->norm || net->layers[h].op->known_statistics;
    int first, last;
    if (!plan->options.inference || !plan->options.fuse || from < 0 || !known || plan->nodes[h].stage->smooth)
        return 0;
    if (!net->layers[from].op->finishes || cln_fusion_readers(net, from, &first, &last) != 1)
        return 0;
    return net->layers[from].op->finishes(&plan->nodes[from]);
}

void cln_fuse(cln_plan *plan)
{
    const cln_net *net = plan->net;
    for (int i = 0; i < net->n_layers; i++) {
        cln_node *node = &plan->nodes[i];
        const cln_op *op = net->layers[i].op;
        if (!op->host || node->skip)
            continue;
        node->stage = &plan->stages[i];
        /* An activation that hosts its own stage is that stage's activation. */
        const cln_absorb own = op->absorb ? op->absorb(&net->layers[i]) : CLN_ABSORB_NO;
        *node->stage = (cln_stage){.norm = op->params != NULL, .pool = 1, .relu = own == CLN_ABSORB_RELU,
                                   .smooth = cln_absorb_smooth(own)};
        const int finished = finished_by(plan, i), end = absorb_followers(plan, i, finished);
        if (finished) {
            plan->nodes[net->layers[i].input[0]].finishes = node;
            node->skip = true;
        } else if (plan->options.fuse) {
            fuse_consumer(plan, i, end);
            fuse_producer(plan, i);
        }
    }
}
