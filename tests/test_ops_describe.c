/* What layers say of themselves without a device: shapes, parameters, cost, what a stage absorbs;
 * the registry; the tuning table and the choice of algorithms. */
#include "common/values.h"
#include "lone.h"
#include "ops/conv.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- descriptions ---------------------------------------------------------------------------- */

START_TEST(shapes)
{
    static const struct {
        const char *line;
        cln_shape in, out;
    } good[] = {
        {"conv 8", {2, 32, 30, 3}, {2, 32, 30, 8}},
        {"conv 8 k=1", {2, 5, 4, 3}, {2, 5, 4, 8}},
        {"conv 8 k=3 stride=2", {2, 32, 31, 3}, {2, 16, 16, 8}},
        {"conv 8 k=5 pad=0", {1, 5, 9, 3}, {1, 1, 5, 8}},
        {"dense 10", {4, 3, 2, 5}, {4, 1, 1, 10}},
        {"maxpool 2", {1, 5, 4, 3}, {1, 2, 2, 3}},
        {"maxpool 3 stride=2 pad=1", {1, 8, 7, 3}, {1, 4, 4, 3}},
        {"avgpool 2 stride=1", {1, 8, 7, 3}, {1, 7, 6, 3}},
        {"gap", {6, 8, 7, 3}, {6, 1, 1, 3}},
        {"add", {6, 8, 7, 3}, {6, 8, 7, 3}},
        {"add stride=2 8x7x3", {6, 4, 4, 5}, {6, 4, 4, 5}},
        {"dwconv stride=2", {6, 5, 8, 5}, {6, 3, 4, 5}},
        {"scale 8x7x3", {6, 1, 1, 3}, {6, 8, 7, 3}},
    };
    static const struct {
        const char *line;
        cln_shape in;
    } bad[] = {
        {"conv 8 k=4", {1, 8, 8, 3}},       {"conv 8 k=5 pad=0", {1, 4, 8, 3}},
        {"conv 8 k=3 pad=3", {1, 8, 8, 3}}, {"maxpool 3", {1, 2, 8, 3}},
        {"maxpool 2 pad=2", {1, 8, 8, 3}},  {"avgpool 9", {1, 9, 8, 3}},
        {"dropout 1", {1, 8, 8, 3}},        {"dense 65536", {1, 512, 512, 64}},
        {"conv 16384 k=3", {1, 1, 1, 16384}},
        {"scale 8x8x2", {1, 1, 1, 3}},      {"scale 8x8x3", {1, 8, 8, 3}},
        {"dwconv 4", {1, 8, 8, 3}},         {"dwconv 5 pad=0", {1, 4, 8, 3}},
        {"add 8x8x2", {1, 8, 8, 3}},        {"add stride=2 9x8x3", {1, 4, 4, 3}},
        {"add stride=2", {1, 4, 4, 3}},     {"add stride=2 8x8x4", {1, 4, 4, 3}},
    };
    cln_layer layer;
    cln_error err = {0};
    for (size_t i = 0; i < COUNT(good); i++) {
        ck_assert_msg(cln_lone_layer(&layer, good[i].line, good[i].in, &err) == 0, "%s: %s",
                      good[i].line, err.text);
        ck_assert_msg(!memcmp(&layer.out, &good[i].out, sizeof layer.out), "%s: %d %d %d %d",
                      good[i].line, layer.out.n, layer.out.h, layer.out.w, layer.out.c);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        err.text[0] = '\0';
        ck_assert_msg(cln_lone_layer(&layer, bad[i].line, bad[i].in, &err) == CLN_ERR_MODEL, "%s",
                      bad[i].line);
        ck_assert(err.text[0]);
    }
    ck_assert_int_eq(cln_lone_layer(&layer, "add", (cln_shape){1, 4, 4, 2}, &err), 0);
    layer.in[1].c = 3;
    ck_assert_int_eq(layer.op->shape(&layer, &err), CLN_ERR_MODEL);
}
END_TEST

START_TEST(params_and_cost)
{
    cln_layer layer;
    cln_error err = {0};
    cln_params p = {0};
    cln_cost cost[CLN_COST_KINDS];
    ck_assert_int_eq(
        cln_lone_layer(&layer, "conv 16 k=3 bias=1", (cln_shape){128, 32, 32, 3}, &err), 0);
    layer.op->params(&layer, &p);
    ck_assert_int_eq(p.n_params, 2);
    ck_assert_uint_eq(cln_param_count(&p.param[0]), 3 * 3 * 3 * 16);
    ck_assert_uint_eq(cln_param_count(&p.param[1]), 16);
    ck_assert(p.param[0].decay && !p.param[1].decay && p.param[0].fan_in == 27);
    ck_assert(p.param[0].init == CLN_INIT_KAIMING && p.param[1].init == CLN_INIT_ZERO);
    layer.op->cost(&layer, cost);
    ck_assert_double_eq(cost[CLN_COST_BACKWARD_DATA].flops, 2.0 * 128 * 1024 * 27 * 16);
    ck_assert_double_eq(cost[CLN_COST_BACKWARD_DATA].bytes,
                        4.0 * (128 * 1024 * (3 + 16) + 27 * 16));
    p = (cln_params){0};
    ck_assert_int_eq(cln_lone_layer(&layer, "dense 10 bias=0", (cln_shape){2, 2, 2, 3}, &err), 0);
    layer.op->params(&layer, &p);
    ck_assert(p.n_params == 1 && p.param[0].dims[0] == 12 && p.param[0].dims[1] == 10 &&
              p.param[0].rank == 2);
}
END_TEST

START_TEST(registry)
{
    for (int i = 0; cln_ops[i]; i++) {
        const cln_op *op = cln_ops[i];
        ck_assert(op->word && op->help && op->forward && op->backward && op->inputs >= 1);
        ck_assert_ptr_eq(cln_op_find(op->word), op);
    }
    ck_assert_ptr_null(cln_op_find("conv2"));
    ck_assert_ptr_null(cln_op_find(""));
}
END_TEST

START_TEST(pool_is_absorbed)
{
    static const struct {
        const char *line;
        cln_shape in;
        cln_absorb want;
    } cases[] = {
        {"maxpool 2", {1, 8, 6, 3}, CLN_ABSORB_POOL2},
        {"maxpool 2", {1, 7, 6, 3}, CLN_ABSORB_NO},
        {"maxpool 2", {1, 8, 5, 3}, CLN_ABSORB_NO},
        {"maxpool 3", {1, 9, 9, 3}, CLN_ABSORB_NO},
        {"maxpool 2 stride=1", {1, 8, 6, 3}, CLN_ABSORB_NO},
        {"maxpool 2 pad=1", {1, 8, 6, 3}, CLN_ABSORB_NO},
        {"maxpool 2 stride=2", {1, 8, 6, 3}, CLN_ABSORB_POOL2},
    };
    cln_layer layer;
    cln_error err = {0};
    for (size_t i = 0; i < COUNT(cases); i++) {
        ck_assert_int_eq(cln_lone_layer(&layer, cases[i].line, cases[i].in, &err), 0);
        ck_assert_int_eq(layer.op->absorb(&layer), cases[i].want);
    }
}
END_TEST

/* ---- the tuning table ------------------------------------------------------------------------ */

START_TEST(table_lines)
{
    const cln_embedded_file *table = cln_embedded_find("tune.table");
    int lines = 0;
    ck_assert_ptr_nonnull(table);
    for (const char *line = (const char *)table->bytes; *line; lines++) {
        cln_tune_line t;
        const size_t length = strcspn(line, "\n");
        ck_assert_msg(cln_tune_parse(line, length, &t) >= 0, "tune.table: %.*s", (int)length, line);
        line += length + (line[length] == '\n');
    }
    ck_assert_int_gt(lines, 3);
    static const char *const bad[] = {"vector fwd 0",    "cpu fwd 0 simt",  "simt forward 0 simt",
                                      "simt fwd 0 *",    "simt fwd x simt", "simt fwd 0 simt simt",
                                      "simt fwd -1 simt"};
    cln_tune_line t;
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(cln_tune_parse(bad[i], strlen(bad[i]), &t) == -1, "%s", bad[i]);
    ck_assert_int_eq(cln_tune_parse(" * bwd_data 1e6 gemm", 20, &t), 1);
    ck_assert(t.cls == CLN_CLASS_AUTO && t.direction == CLN_CONV_BWD_DATA && t.macs == 1e6 &&
              t.algo == CLN_CONV_GEMM);
}
END_TEST

START_TEST(choices)
{
    const cln_tune_request automatic = {CLN_CLASS_AUTO, -1};
    cln_device_info info = {
        .vector_width = 8, .max_alloc = 1u << 30, .local_mem = 32 << 10, .max_local_size = 256};
    cln_conv_shape s = {32, 32, 16, 32, 32, 32, 3, 1, 1, false, false};
    for (int d = 0; d < 3; d++)
        ck_assert_int_eq(cln_conv_choose(&info, &automatic, NULL, &s, d), CLN_CONV_VECTOR);
    info.vector_width = 1;
    for (int d = 0; d < 3; d++)
        ck_assert_int_eq(cln_conv_choose(&info, &automatic, NULL, &s, d), CLN_CONV_SIMT);
    ck_assert_int_eq(
        cln_conv_choose(&info, &(cln_tune_request){CLN_CLASS_AUTO, CLN_CONV_GEMM}, NULL, &s, 0),
        CLN_CONV_GEMM);
    info.max_local_size = 128; /* too small for CLBlast */
    ck_assert_int_eq(
        cln_conv_choose(&info, &(cln_tune_request){CLN_CLASS_AUTO, CLN_CONV_GEMM}, NULL, &s, 0),
        CLN_CONV_SIMT);
    info.max_local_size = 256;
    info.max_alloc = 1024; /* no room for a column buffer: what is forced gives way */
    ck_assert_int_eq(
        cln_conv_choose(&info, &(cln_tune_request){CLN_CLASS_AUTO, CLN_CONV_GEMM}, NULL, &s, 0),
        CLN_CONV_SIMT);

    ck_assert_int_eq(cln_tune_class(&info, &automatic), CLN_CLASS_SIMT);
    ck_assert_int_eq(cln_tune_class(&info, &(cln_tune_request){CLN_CLASS_VECTOR, -1}),
                     CLN_CLASS_VECTOR);
    info.vector_width = 4;
    ck_assert_int_eq(cln_tune_class(&info, &automatic), CLN_CLASS_VECTOR);
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_VECTOR, 32), 4);
    info.vector_width = 16;
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_VECTOR, 32), 16);
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_VECTOR, 24), 8);
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_VECTOR, 6), 2);
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_VECTOR, 3), 1);
    ck_assert_int_eq(cln_tune_width(&info, CLN_CLASS_SIMT, 32), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ops_describe");
    TCase *host = tcase_create("host");
    tcase_add_test(host, shapes);
    tcase_add_test(host, params_and_cost);
    tcase_add_test(host, registry);
    tcase_add_test(host, pool_is_absorbed);
    tcase_add_test(host, table_lines);
    tcase_add_test(host, choices);
    suite_add_tcase(suite, host);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
