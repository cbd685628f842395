/* The built-in networks: layers, shapes and numbers of parameters. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static const cln_shape cifar = {128, 32, 32, 3};
static const char *const models[] = {"s8", "s8r", CLN_NET_DEFAULT};
static const char *const norms[] = {"bn", "ln", "gn", "in", "none"};
enum { N_MODELS = 3, N_NORMS = 5, NARROW = 2 };

static cln_net *load(const char *model, const char *norm, int groups)
{
    cln_error err = {0};
    cln_net *net = NULL;
    int code = cln_net_load(model, norm, groups, 10, cifar, &net, &err);
    ck_assert_msg(code == CLN_OK, "%s %s: %s", model, norm, err.text);
    ck_assert_ptr_nonnull(net);
    return net;
}

/* Layers named `word`, and the output shape of each in turn. */
static int check_shapes(const cln_net *net, const char *word, const int (*hwc)[3], int count)
{
    int found = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const cln_layer *l = &net->layers[i];
        if (strcmp(l->op->word, word) != 0)
            continue;
        ck_assert_int_lt(found, count);
        ck_assert_int_eq(l->out.h, hwc[found][0]);
        ck_assert_int_eq(l->out.w, hwc[found][0]);
        ck_assert_int_eq(l->out.c, hwc[found][1]);
        if (hwc[found][2])
            ck_assert_int_eq(cln_layer_int(l, "k"), hwc[found][2]);
        found++;
    }
    return found;
}

START_TEST(skeleton)
{
    const bool narrow = _i / N_NORMS == NARROW;
    const int second = narrow ? 16 : 32, tenth = narrow ? 48 : 32;
    const int convs[][3] = {{32, 16, 3}, {32, second, 3}, {32, 16, 1}, {16, 16, 3},
                            {16, 32, 3}, {16, 32, 3},     {16, 16, 1}, {8, 32, 3},
                            {8, 32, 3},  {8, tenth, 3},   {1, 10, 1}};
    const int pools[][3] = {{16, 16, 0}, {8, 16, 0}}, gaps[][3] = {{1, tenth, 0}};
    const size_t params = narrow ? 48282 : 46074;
    const char *model = models[_i / N_NORMS], *norm = norms[_i % N_NORMS];
    cln_net *net = load(model, norm, 0);
    ck_assert_str_eq(net->name, model);
    ck_assert_str_eq(net->norm, strcmp(norm, "gn") ? norm : "gn groups=4");
    ck_assert_int_eq(net->classes, 10);
    ck_assert_uint_eq(cln_net_param_count(net), strcmp(norm, "none") ? params : params - 512);
    ck_assert_int_eq(check_shapes(net, "conv", convs, 11), 11);
    ck_assert_int_eq(check_shapes(net, "maxpool", pools, 2), 2);
    ck_assert_int_eq(check_shapes(net, "gap", gaps, 1), 1);
    int n_norms = 0, n_relus = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const cln_layer *l = &net->layers[i];
        ck_assert_int_eq(l->index, i);
        ck_assert_int_eq(l->input[0], i - 1);
        ck_assert_int_eq(l->out.n, 128);
        n_norms += strcmp(l->op->word, norm) == 0;
        n_relus += strcmp(l->op->word, "relu") == 0;
    }
    ck_assert_int_eq(n_norms, 10);
    ck_assert_int_eq(n_relus, 10);
    cln_net_free(net);
}
END_TEST

/* Each addition closes x + relu(norm(conv(x))): it reads the relu above and what the
 * convolution read. */
START_TEST(residual_additions)
{
    static const int shapes[][2] = {{16, 16}, {16, 32}, {8, 32}, {8, 32}};
    cln_net *net = load("s8r", "ln", 0);
    int found = 0;
    for (int i = 0; i < net->n_layers; i++) {
        const cln_layer *l = net->layers + i;
        if (l->n_inputs != 2)
            continue;
        ck_assert_int_lt(found, 4);
        ck_assert_str_eq(l->op->word, "add");
        ck_assert_str_eq(l[-1].op->word, "relu");
        ck_assert_str_eq(l[-2].op->word, "ln");
        ck_assert_str_eq(l[-3].op->word, "conv");
        ck_assert_int_eq(l->input[1], l[-3].input[0]);
        ck_assert_int_eq(l->out.h, shapes[found][0]);
        ck_assert_int_eq(l->out.c, shapes[found][1]);
        found++;
    }
    ck_assert_int_eq(found, 4);
    cln_net_free(net);
}
END_TEST

/* He et al. 2016, section 4.2: three widths, three blocks each; the first block of the second and the third halves
 * the image, and its shortcut, as all of them, has no parameters. */
START_TEST(residual_network)
{
    static const char *const words[] = {"conv", "bn", "relu", "conv", "bn", "add", "relu"};
    cln_net *net = load("resnet20", "bn", 0), *none = load("resnet20", "none", 0);
    ck_assert_int_eq(net->n_layers, 3 + 9 * 7 + 2);
    ck_assert_uint_eq(cln_net_param_count(net), 269722);
    ck_assert_uint_eq(cln_net_param_count(none), 269722 - 1376);
    for (int block = 0; block < 9; block++) {
        const cln_layer *first = net->layers + 3 + 7 * block, *add = first + 5;
        const int stride = block == 3 || block == 6 ? 2 : 1;
        for (int i = 0; i < 7; i++)
            ck_assert_str_eq(first[i].op->word, words[i]);
        ck_assert_int_eq(cln_layer_int(first, "stride"), stride);
        ck_assert_int_eq(cln_layer_int(add, "stride"), stride);
        ck_assert_int_eq(add->input[1], first->input[0]);
        ck_assert_int_eq(add->out.h, 32 >> block / 3);
        ck_assert_int_eq(add->out.c, 16 << block / 3);
    }
    cln_net_free(net);
    cln_net_free(none);
}
END_TEST

/* Under 50,000 parameters whatever the norm, residual, and no depthwise convolution at full size. */
START_TEST(smallest_budget)
{
    const struct {
        const char *name;
        size_t params;
        int adds;
    } models[] = {{"best50k", 49850, 4}, {"deep50k", 48242, 6}};
    for (int i = 0; i < 8; i++) {
        cln_net *net = load(models[i / 4].name, norms[i % 4], 0);
        int adds = 0;
        ck_assert_uint_eq(cln_net_param_count(net), models[i / 4].params);
        for (int l = 0; l < net->n_layers; l++) {
            const cln_layer *layer = &net->layers[l];
            adds += strcmp(layer->op->word, "add") == 0;
            ck_assert(strcmp(layer->op->word, "dwconv") != 0 || layer->out.h <= 16);
        }
        ck_assert_int_eq(adds, models[i / 4].adds);
        cln_net_free(net);
    }
}
END_TEST

START_TEST(other_data)
{
    const cln_shape mnist = {7, 28, 28, 1};
    cln_net *net = NULL;
    ck_assert_int_eq(cln_net_load("s8", "bn", 0, 26, mnist, &net, NULL), CLN_OK);
    const cln_layer *last = &net->layers[net->n_layers - 1];
    ck_assert_int_eq(last->out.n, 7);
    ck_assert_int_eq(last->out.c, 26);
    ck_assert_uint_eq(cln_net_param_count(net), 46074 - 9 * 16 * 2 + 16 * 33);
    cln_net_free(net);
}
END_TEST

START_TEST(builtin_names)
{
    const char **names = cln_net_builtin();
    ck_assert_ptr_nonnull(names);
    for (int m = 0; m < N_MODELS; m++) {
        int found = 0;
        for (size_t i = 0; names[i]; i++)
            found += strcmp(names[i], models[m]) == 0;
        ck_assert_int_eq(found, 1);
    }
    for (size_t i = 0; names[i]; i++)
        cln_net_free(load(names[i], "bn", 0));
    free(names);
}
END_TEST

START_TEST(norm_and_groups)
{
    cln_net *net = load("s8", "gn", 8);
    ck_assert_str_eq(net->norm, "gn groups=8");
    ck_assert_int_eq(cln_layer_int(&net->layers[1], "groups"), 8);
    cln_net_free(net);
    net = load("s8", "ln", 8); /* has no groups of its own: not asked for any */
    ck_assert_str_eq(net->norm, "ln");
    cln_net_free(net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net_builtin");
    TCase *tc = tcase_create("models");
    tcase_add_loop_test(tc, skeleton, 0, N_MODELS * N_NORMS);
    tcase_add_test(tc, residual_additions);
    tcase_add_test(tc, residual_network);
    tcase_add_test(tc, smallest_budget);
    tcase_add_test(tc, other_data);
    tcase_add_test(tc, builtin_names);
    tcase_add_test(tc, norm_and_groups);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
