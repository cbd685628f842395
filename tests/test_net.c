/* Networks as text: every way a line can be wrong, limits, hostile input. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

static const cln_shape cifar = {128, 32, 32, 3};
enum { MAX_TEXT = CLN_NET_BYTES };

/* Parses as "t" for 32x32x3 images and 10 classes, with group norm in 4 groups. */
static int parse(const char *text, cln_net **net, cln_error *err)
{
    return cln_net_parse("t", text, "gn", 4, 10, cifar, net, err);
}

static cln_net *accepted(const char *text)
{
    cln_error err = {0};
    cln_net *net = NULL;
    int code = parse(text, &net, &err);
    ck_assert_msg(code == CLN_OK, "%.60s...: %s", text, err.text);
    return net;
}

static void check_failed(const cln_error *err, const char *what, int code, const char *begins,
                         const char *contains)
{
    ck_assert_msg(err->code == code, "%.60s: code %d, %s", what, err->code, err->text);
    ck_assert_msg(strncmp(err->text, begins, strlen(begins)) == 0, "%.60s: \"%s\" not \"%s...\"",
                  what, err->text, begins);
    ck_assert_msg(strstr(err->text, contains), "%.60s: \"%s\" has no \"%s\"", what, err->text,
                  contains);
    ck_assert_ptr_null(strchr(err->text, '\n'));
}

static void refused(const char *text, const char *begins, const char *contains)
{
    cln_error err = {0};
    cln_net *net = (cln_net *)&err;
    ck_assert_msg(parse(text, &net, &err) == CLN_ERR_MODEL, "%.60s was accepted", text);
    ck_assert_ptr_null(net);
    check_failed(&err, text, CLN_ERR_MODEL, begins, contains);
}

/* ---- grammar ---------------------------------------------------------------------------- */

START_TEST(accepts_layouts)
{
    cln_net *net = accepted("\n  # only a comment, \xc3\xa9 and all\r\n"
                            "\tA-1:conv\t8  k=3 # C1\r\n"
                            "b_2: relu\n\nunused: $norm\n   gap\nconv $classes k=1");
    ck_assert_int_eq(net->n_layers, 5);
    ck_assert_str_eq(net->layers[0].label, "A-1");
    ck_assert_str_eq(net->layers[1].label, "b_2");
    ck_assert_str_eq(net->layers[2].label, "unused");
    ck_assert_str_eq(net->layers[2].op->word, "gn");
    static const int lines[] = {3, 4, 6, 7, 8};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(net->layers[i].line, lines[i]);
    ck_assert_int_eq(net->layers[0].out.c, 8);
    ck_assert_int_eq(net->layers[4].out.c, 10);
    cln_net_free(net);
}
END_TEST

START_TEST(second_inputs)
{
    cln_net *net = accepted("a: conv 8 k=3\nb: relu\nadd a\nc: add b\nadd c\ngap\nconv 10 k=1\n");
    ck_assert_int_eq(net->layers[2].input[0], 1);
    ck_assert_int_eq(net->layers[2].input[1], 0);
    ck_assert_int_eq(net->layers[3].input[1], 1);
    ck_assert_int_eq(net->layers[4].input[0], 3);
    ck_assert_int_eq(net->layers[4].input[1], 3); /* twice the same is a doubling */
    cln_net_free(net);
}
END_TEST

START_TEST(accepts_numbers)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"1e-3", 1e-3},    {".5", 0.5},       {"0.25", 0.25},
                 {"+1", 1},         {"1.", 1},         {"5E-1", 0.5},
                 {"0", 0},          {"-0", 0},         {"00000000000000000.1", 0.1},
                 {"0.00001", 1e-5}, {"123e-5", 123e-5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "bn eps=%s\ngap\ndense 10", cases[i].text);
        cln_net *net = accepted(text);
        ck_assert_double_eq(cln_layer_attr(&net->layers[0], "eps"), cases[i].value);
        cln_net_free(net);
    }
}
END_TEST

START_TEST(refuses_numbers)
{
    static const char *const bad[] = {"0x1", "nan", "inf",   "1,5",  "1e",
                                      "1e+", "--1", "",      "1e99", "1e999",
                                      ".",   "e1",  "1.1.1", "1f",   "0.1234567890123456"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "\nbn eps=%s\ngap\ndense 10", bad[i]);
        refused(text, "t.net:2: '", bad[i]);
    }
}
END_TEST

/* Every kind of malformed line: where the message begins, and what it tells besides. */
START_TEST(refuses_lines)
{
    static const struct {
        const char *text, *begins, *contains;
    } cases[] = {
        {"conv 8 k=3\n\ncnov 8\n", "t.net:3: 'cnov': ", "dropout"},
        {"CONV 8 k=3\n", "t.net:1: 'CONV': ", "known are"},
        {"conv 8 k=3\n$nrom\n", "t.net:2: '$nrom': ", "$norm"},
        {"conv 8 k=3\n$norm groups=2\n", "t.net:2: 'groups=2': ", "gn groups=4"},
        {"$classes\n", "t.net:1: '$classes': ", "$norm"},
        {"conv $class k=1\n", "t.net:1: '$class': ", "$classes"},
        {"conv $norm k=1\n", "t.net:1: '$norm': ", "$classes"},
        {"#\nconv k=3\n", "t.net:2: 'conv': ", "needs "},
        {"conv 8 q=3\n", "t.net:1: 'q=3': ", "stride"},
        {"conv 8 =3\n", "t.net:1: '=3': ", "stride"},
        {"conv 8 3\n", "t.net:1: '3': ", "name=value"},
        {"conv 8 k\n", "t.net:1: 'k': ", "name=value"},
        {"conv k=3 8\n", "t.net:1: '8': ", "name=value"},
        {"conv 8 k = 3\n", "t.net:1: 'k': ", "name=value"},
        {"conv 8 k=3 k=3\n", "t.net:1: 'k=3': ", "twice"},
        {"conv 8 k=\n", "t.net:1: 'k=': ", "not a number"},
        {"conv eight k=3\n", "t.net:1: 'eight': ", "not a number"},
        {"conv 8.5 k=3\n", "t.net:1: '8.5': ", "integer"},
        {"conv 8 k=2.5\n", "t.net:1: 'k=2.5': ", "integer"},
        {"conv 0 k=3\n", "t.net:1: '0': ", "must be from"},
        {"conv -8 k=3\n", "t.net:1: '-8': ", "must be from"},
        {"conv 8 k=1e9\n", "t.net:1: 'k=1e9': ", "must be from"},
        {"conv 8 k=3 bias=2\n", "t.net:1: 'bias=2': ", "must be from 0 to 1"},
        {"bn eps=-1\n", "t.net:1: 'eps=-1': ", "must be from 0 to 1"},
        {"relu 8\n", "t.net:1: '8': ", "no attributes"},
        {"gap x=1\n", "t.net:1: 'x=1': ", "no attributes"},
        {"a:\n", "t.net:1: 'a:': ", "layer behind it"},
        {": relu\n", "t.net:1: ':': ", "label"},
        {"1a: relu\n", "t.net:1: '1a:': ", "label"},
        {"a b: relu\n", "t.net:1: 'a': ", "no such layer"},
        {"a.b: relu\n", "t.net:1: 'a.b:': ", "label"},
        {"a: relu\nb: relu\na: relu\n", "t.net:3: 'a:': ", "line 1"},
        {"a: b: relu\n", "t.net:1: 'b:': ", "no such layer"},
        {"a23456789012345678901234567890123: relu\n", "t.net:1: 'a2345", "at most 31"},
        {"a: relu\nadd\n", "t.net:2: 'add': ", "labels above: a"},
        {"relu\nadd\n", "t.net:2: 'add': ", "labels above: none"},
        {"one: relu\ntwo: relu\nadd three\n", "t.net:3: 'three': ", "labels above: one, two"},
        {"a: relu\nb: add b\n", "t.net:2: 'b': ", "labels above: a"},
        {"a: relu\nadd b\nb: relu\n", "t.net:2: 'b': ", "no layer above"},
        {"a: relu\nadd a a\n", "t.net:2: 'a': ", "not a number; stride is an integer from 1 to 4"},
        {"a: relu\nconv 4 k=3 stride=2\nadd stride=2\n",
         "t.net:3: 'stride=2': ", "labels above: a"},
        {"a: conv 8 k=3\nconv 4 k=3 stride=2\nadd stride=2 a\n", "t.net:3: 'add': ", "stride=2"},
        {"a: relu\nconv 8 k=3\nadd a\n", "t.net:3: 'add': ", ""},
        {"conv 6 k=3\n$norm\n", "t.net:2: 'gn': ", "4 groups do not divide 6 channels"},
        {"relu\nre\x01lu\n", "t.net:2: ", "byte 0x01 in column 3"},
        {"relu\n\xff\xfe\n", "t.net:2: ", "byte 0xff in column 1"},
        {"relu\n\x1b[2J\n", "t.net:2: ", "byte 0x1b"},
        {"relu\rrelu\n", "t.net:1: ", "byte 0x0d in column 5"},
        {"relu # Gr\xf6\xdf" "e\n", "t.net:1: ", "byte 0xf6 in column 10, in a comment, is not UTF-8"},
        {"relu # \xc3", "t.net:1: ", "UTF-8"},
        {"", "t.net:0: ", "without a layer"},
        {"\n# nothing\n\n", "t.net:3: ", "without a layer"},
        {"conv 10 k=3\n# end\n", "t.net:1: 'conv': ", "32x32x10"},
        {"gap\nconv 9 k=1\n", "t.net:2: 'conv': ", "10 classes"},
        {"gap\nconv 10 k=1\nmaxpool 2\n", "t.net:3: 'maxpool': ", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refused(cases[i].text, cases[i].begins, cases[i].contains);
}
END_TEST

/* What holds a name holds whole characters of it. */
START_TEST(cuts_names_between_characters)
{
    char name[80];
    for (int i = 60; i < 64; i++) {
        cln_error err = {0};
        cln_net *net = NULL;
        memset(name, 'x', sizeof name);
        strcpy(name + i, "\xe2\x82\xac.net");
        ck_assert_int_eq(cln_net_parse(name, "gap\nconv 10 k=1\n", "gn", 4, 10, cifar, &net, &err), CLN_OK);
        ck_assert_uint_eq(strlen(net->name), i == 60 ? 63 : (size_t)i);
        ck_assert(strncmp(net->name, name, strlen(net->name)) == 0);
        cln_net_free(net);
    }
}
END_TEST

START_TEST(refuses_arguments)
{
    static const struct {
        const char *norm, *contains;
        int groups, classes, code;
        cln_shape in;
    } cases[] = {
        {"xn", "'xn', it is one of bn, ln, gn, in, none", 0, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"relu", "unknown norm 'relu'", 0, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"gn groups=2", "unknown norm", 0, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"", "unknown norm", 0, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {NULL, "unknown norm", 0, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"gn", "-1 groups", -1, 10, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"gn", "3 groups do not divide 16", 3, 10, CLN_ERR_MODEL, {1, 8, 8, 3}},
        {"bn", "0 classes", 0, 0, CLN_ERR_ARGUMENT, {1, 8, 8, 3}},
        {"bn", "empty", 0, 10, CLN_ERR_ARGUMENT, {0, 8, 8, 3}},
        {"bn", "empty", 0, 10, CLN_ERR_ARGUMENT, {1, 8, -8, 3}},
        {"bn", "2^31", 0, 10, CLN_ERR_ARGUMENT, {1 << 30, 1 << 30, 1 << 30, 1 << 30}},
        {"bn", "2^31", 0, 10, CLN_ERR_MODEL, {1 << 18, 32, 32, 3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cln_error err = {0};
        cln_net *net = NULL;
        int code = cln_net_load("s8", cases[i].norm, cases[i].groups, cases[i].classes, cases[i].in,
                                &net, &err);
        ck_assert_int_eq(code, cases[i].code);
        ck_assert_ptr_null(net);
        check_failed(&err, cases[i].contains, cases[i].code, "", cases[i].contains);
        ck_assert_int_eq(cln_net_load("s8", cases[i].norm, cases[i].groups, cases[i].classes,
                                      cases[i].in, &net, NULL),
                         code);
    }
}
END_TEST

/* ---- limits and hostile input ----------------------------------------------------------- */

static char *repeat(const char *what, int times, const char *end)
{
    const size_t length = strlen(what);
    char *text = malloc(length * (size_t)times + strlen(end) + 1);
    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < times; i++)
        memcpy(text + (size_t)i * length, what, length);
    strcpy(text + length * (size_t)times, end);
    return text;
}

START_TEST(limits)
{
    const char *const end = "gap\ndense 10\n";
    char *text = repeat("relu\n", 510, end);
    cln_net *net = accepted(text);
    ck_assert_int_eq(net->n_layers, 512);
    cln_net_free(net);
    free(text);
    text = repeat("relu\n", 511, end);
    refused(text, "t.net:513: 'dense': ", "512");
    free(text);

    char line[300] = "relu #";
    memset(line + 6, 'x', 250);
    strcpy(line + 256, "\ngap\ndense 10");
    cln_net_free(accepted(line));
    memmove(line + 7, line + 6, 270);
    refused(line, "t.net:1: ", "257 characters");

    text = repeat("#\n", MAX_TEXT / 2 - 7, "gap \ndense 10\n"); /* 14 bytes */
    ck_assert_uint_eq(strlen(text), MAX_TEXT);
    cln_net_free(accepted(text));
    free(text);
    text = repeat("#\n", MAX_TEXT / 2 - 6, end);
    ck_assert_uint_gt(strlen(text), MAX_TEXT);
    refused(text, "t.net: ", "65536");
    free(text);
    text = repeat("relu", 10000, "");
    refused(text, "t.net:1: ", "40000 characters");
    free(text);
}
END_TEST

START_TEST(long_lists_stay_short)
{
    char text[16 * 1024] = "";
    size_t used = 0;
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "label-%024d: relu\n", i);
    snprintf(text + used, sizeof text - used, "add none-such\n");
    refused(text, "t.net:301: 'none-such': ", "label-000000000000000000000000, ");
    refused(text, "t.net:301: 'none-such': ", ", ...");
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Whatever the text, a network or one line of error; sanitizers watch the rest. */
static void survives(const char *text)
{
    cln_error err = {0};
    cln_net *net = NULL;
    int code = parse(text, &net, &err);
    ck_assert_int_eq(code, err.code);
    ck_assert((code == CLN_OK) == (net != NULL));
    if (code) {
        ck_assert_int_eq(code, CLN_ERR_MODEL);
        ck_assert_int_eq(strncmp(err.text, "t.net:", 6), 0);
        for (const char *c = err.text; *c; c++)
            ck_assert_msg(*c >= ' ' && *c <= '~', "byte 0x%02x in the message", (unsigned char)*c);
    }
    cln_net_free(net);
}

START_TEST(random_bytes)
{
    uint32_t state = 1;
    char text[512];
    for (int round = 0; round < 3000; round++) {
        const size_t length = next_random(&state) % sizeof text;
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(1 + next_random(&state) % 255);
        text[length] = '\0';
        survives(text);
    }
}
END_TEST

START_TEST(random_words)
{
    static const char *const words[] = {
        "conv ",  "dense ",   "maxpool ", "avgpool ",  "gap ", "bn ", "gn ",    "relu ",
        "add ",   "dropout ", "$norm ",   "$classes ", "a: ",  "b:",  "a ",     "b ",
        "8 ",     "k=3 ",     "k=1 ",     "stride=2 ", "k=",   "=",   "pad=0 ", "groups=2 ",
        "eps=0 ", "2 ",       "1e300 ",   "-1 ",       "#",    "\n",  "\n",     "\n"};
    enum { N_WORDS = sizeof words / sizeof words[0] };
    uint32_t state = 2;
    for (int round = 0; round < 10000; round++) {
        char text[512] = "";
        const int count = 1 + (int)(next_random(&state) % 30);
        for (int i = 0; i < count; i++)
            strcat(text, words[next_random(&state) % N_WORDS]);
        survives(text);
    }
}
END_TEST

/* Built-in models with one byte changed at every place. */
START_TEST(damaged_models)
{
    const cln_embedded_file *file = cln_embedded_find("s8r.net");
    ck_assert_ptr_nonnull(file);
    char *text = malloc(file->size + 1);
    ck_assert_ptr_nonnull(text);
    uint32_t state = 3;
    for (size_t i = 0; i < file->size; i++) {
        memcpy(text, file->bytes, file->size + 1);
        text[i] = (char)(1 + next_random(&state) % 255);
        survives(text);
        text[i] = '\0'; /* and cut short there */
        survives(text);
    }
    free(text);
}
END_TEST

/* ---- files ------------------------------------------------------------------------------ */

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static void refused_file(const char *path, int code, const char *contains)
{
    cln_error err = {0};
    cln_net *net = NULL;
    ck_assert_int_eq(cln_net_load(path, "bn", 0, 10, cifar, &net, &err), code);
    ck_assert_ptr_null(net);
    check_failed(&err, path, code, "", contains);
}

START_TEST(files)
{
    char folder[] = "/tmp/clnorm-net-XXXXXX", path[64], expected[96];
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tiny.net", folder);
    refused_file(path, CLN_ERR_IO, strerror(ENOENT));

    write_file(path, "conv 8 k=3\n$norm\ngap\ndense $classes\n", 36);
    cln_net *net = NULL;
    ck_assert_int_eq(cln_net_load(path, "ln", 0, 10, cifar, &net, NULL), CLN_OK);
    ck_assert_str_eq(net->name, "tiny");
    cln_net_free(net);

    write_file(path, "relu\nrelo\n", 10);
    snprintf(expected, sizeof expected, "%s:2: 'relo': ", path);
    refused_file(path, CLN_ERR_MODEL, expected);
    write_file(path, "relu\ngap\n\0dense 10\n", 19);
    snprintf(expected, sizeof expected, "%s:3: a zero byte", path);
    refused_file(path, CLN_ERR_MODEL, expected);
    char *big = repeat("#\n", MAX_TEXT, "");
    write_file(path, big, 2 * (size_t)MAX_TEXT);
    refused_file(path, CLN_ERR_MODEL, "65536 bytes");
    free(big);
    write_file(path, "", 0);
    refused_file(path, CLN_ERR_MODEL, "without a layer");
    ck_assert_int_eq(remove(path), 0);
    refused_file(folder, CLN_ERR_IO, strerror(EISDIR));
    ck_assert_int_eq(rmdir(folder), 0);
    refused_file("s8.net", CLN_ERR_IO, "s8.net"); /* a path, though there is a model of that name */
}
END_TEST

START_TEST(unknown_models)
{
    static const char *const names[] = {"s9", "", "S8", "s8 ", ".net", "norm.cl", "common"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        refused_file(names[i], CLN_ERR_ARGUMENT, "unknown model '");
        refused_file(names[i], CLN_ERR_ARGUMENT, "s8, s8n, s8r");
    }
    char *name = repeat("x", 5000, "");
    refused_file(name, CLN_ERR_ARGUMENT, "unknown model 'xxx");
    free(name);
    name = repeat("x/", 5000, "");
    refused_file(name, CLN_ERR_IO, "x/x/x");
    free(name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("net");
    TCase *tc = tcase_create("grammar");
    tcase_add_test(tc, accepts_layouts);
    tcase_add_test(tc, second_inputs);
    tcase_add_test(tc, accepts_numbers);
    tcase_add_test(tc, refuses_numbers);
    tcase_add_test(tc, refuses_lines);
    tcase_add_test(tc, cuts_names_between_characters);
    tcase_add_test(tc, refuses_arguments);
    suite_add_tcase(suite, tc);

    tc = tcase_create("hostile");
    tcase_add_test(tc, limits);
    tcase_add_test(tc, long_lists_stay_short);
    tcase_add_test(tc, random_bytes);
    tcase_add_test(tc, random_words);
    tcase_add_test(tc, damaged_models);
    tcase_add_test(tc, files);
    tcase_add_test(tc, unknown_models);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
