/* What the layers of a network cost and keep, and `clnorm model`, which prints it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "net.h"

static const cln_shape cifar = {128, 32, 32, 3};
static const char *const models[] = {"s8", "s8r"};
enum { N_MODELS = 2 };

static cln_net *load(const char *model)
{
    cln_error err = {0};
    cln_net *net = NULL;
    const int code = cln_net_load(model, "bn", 0, 10, cifar, &net, &err);
    ck_assert_msg(code == CLN_OK, "%s: %s", model, err.text);
    return net;
}

/* ---- figures ---------------------------------------------------------------------------- */

START_TEST(figures)
{
    for (int m = 0; m < N_MODELS; m++) {
        cln_net *net = load(models[m]);
        size_t params = 0;
        for (int i = 0; i < net->n_layers; i++) {
            const cln_layer *l = &net->layers[i];
            const bool conv = strcmp(l->op->word, "conv") == 0;
            const size_t bytes = cln_shape_count(l->out) * sizeof(float);
            cln_net_row row;
            cln_net_row_of(net, i, &row);
            params += row.params;
            ck_assert(row.kept_bytes == 0 || row.kept_bytes == bytes);
            if (conv && i + 1 < net->n_layers) {
                const int k = cln_layer_int(l, "k");
                ck_assert_double_eq(row.flops,
                                    2.0 * k * k * l->in[0].c * (double)cln_shape_count(l->out));
                ck_assert_uint_eq(row.kept_bytes, bytes); /* the norm's backward pass reads it */
                ck_assert_uint_eq(row.params, (size_t)(k * k * l->in[0].c * l->out.c));
            }
            if (l->op->norm) { /* its output stays inside the stage */
                ck_assert_uint_eq(row.kept_bytes, 0);
                ck_assert_uint_eq(row.params, 2 * (size_t)l->out.c);
            }
            if (i + 1 < net->n_layers && strcmp(l[1].op->word, "conv") == 0)
                ck_assert_uint_eq(row.kept_bytes, bytes);
            if (i + 1 < net->n_layers && strcmp(l[1].op->word, "maxpool") == 0)
                ck_assert_uint_eq(row.kept_bytes, 0);
        }
        ck_assert_uint_eq(params, cln_net_param_count(net));
        cln_net_free(net);
    }
}
END_TEST

/* What hangs on the fusion of `text`'s layer `index`: whether its output is kept. */
static bool kept(const char *text, int index)
{
    cln_error err = {0};
    cln_net *net = NULL;
    const int code = cln_net_parse("t", text, "bn", 0, 10, cifar, &net, &err);
    ck_assert_msg(code == CLN_OK, "%s: %s", text, err.text);
    cln_net_row row;
    cln_net_row_of(net, index, &row);
    cln_net_free(net);
    return row.kept_bytes > 0;
}

START_TEST(what_is_kept)
{
    ck_assert(kept("conv 8 k=3\nrelu\ngap\ndense 10\n", 0)); /* a stage of its own reads it again */
    ck_assert(!kept("conv 8 k=3\nbn\nrelu\ngap\ndense 10\n", 1));
    ck_assert(!kept("conv 8 k=3\nbn\nrelu\nmaxpool 2\ngap\ndense 10\n", 2));
    ck_assert(kept("conv 8 k=3\nbn\nrelu\nmaxpool 2\nrelu\ngap\ndense 10\n", 3));
    ck_assert(
        kept("conv 8 k=3\na: bn\nrelu\nadd a\ngap\ndense 10\n", 1)); /* two readers: not fused */
    ck_assert(kept("conv 8 k=3\nbn\nrelu\nbn\ngap\ndense 10\n", 2));
    ck_assert(kept("relu\nrelu\ngap\ndense 10\n", 0));
    ck_assert(!kept("conv 8 k=3\nbn\ngap\ndense 10\n", 3)); /* the logits */
}
END_TEST

/* ---- the command ------------------------------------------------------------------------ */

/* Runs `clnorm model ARGUMENTS`; its output and exit status. */
static int run_command(const char *arguments, char *out, size_t size)
{
    char command[512];
    snprintf(command, sizeof command, "'%s' model %s 2>&1", CLNORM_PROGRAM, arguments);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    const size_t length = fread(out, 1, size - 1, f);
    out[length] = '\0';
    const int status = pclose(f);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(command_prints_the_table)
{
    static char out[64 * 1024];
    ck_assert_int_eq(run_command("s8 --norm gn --groups 8", out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "gn groups=8"));
    ck_assert_ptr_nonnull(strstr(out, "46074"));
    ck_assert_ptr_nonnull(strstr(out, "16x16x32"));
    for (const char *line = out; *line; line += strcspn(line, "\n") + 1)
        ck_assert_uint_le(strcspn(line, "\n"), 100);
    ck_assert_int_eq(run_command("--classes 26 --input 28x28x1", out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "s8r"));
    ck_assert_int_eq(run_command("s8r --json --batch 2", out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "\"params\": 46074"));
    ck_assert_ptr_nonnull(strstr(out, "\"layer\": \"silu\"")); /* $act as clnorm train takes it */
    ck_assert_int_eq(run_command("s8 --act celu", out, sizeof out), 0);
    ck_assert_ptr_nonnull(strstr(out, "celu"));
    ck_assert_ptr_null(strstr(out, "silu"));
}
END_TEST

START_TEST(command_refuses)
{
    static const struct {
        const char *arguments, *contains;
        int status;
    } cases[] = {{"s9", "unknown model 's9'", 2},
                 {"s8 --norm xn", "unknown norm 'xn'", 2},
                 {"s8 --act step", "--act: 'step' is none of auto, relu", 2},
                 {"resnet20 --act silu", "act: resnet20 has no line $act", 2},
                 {"s8 --norm gn --groups 5", "s8.net:", 11},
                 {"s8 --batch 0", "--batch \"0\"", 2},
                 {"s8 --batch 1x", "--batch \"1x\"", 2},
                 {"s8 --classes 99999999999", "--classes", 2},
                 {"s8 --input 32x32", "32x32x3", 2},
                 {"s8 --input 32x32x3x1", "32x32x3", 2},
                 {"s8 s8", "unexpected argument", 2},
                 {"s8 --frob", "frob", 2},
                 {"./none-such.net", "none-such.net", 9}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[4096];
        const int status = run_command(cases[i].arguments, out, sizeof out);
        ck_assert_msg(status == cases[i].status, "%s: %d: %s", cases[i].arguments, status, out);
        ck_assert_msg(strstr(out, cases[i].contains), "%s: %s", cases[i].arguments, out);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tc = tcase_create("figures");
    tcase_add_test(tc, figures);
    tcase_add_test(tc, what_is_kept);
    tcase_add_test(tc, command_prints_the_table);
    tcase_add_test(tc, command_refuses);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
