/* Reports of the bench: written, read back, and refused where they are damaged. */
#include <fcntl.h>
#include <jansson.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>

#include "common/scratch.h"
#include "common/synthetic.h"

static const cln_bench_options OPTIONS = {
    .title = "clnorm bench layers", .model = "s8", .norms = {"bn", "ln"}, .n_norms = 2};

static void write_json(const cln_bench_report *r, const char *name)
{
    cln_error err = {0};
    ck_assert_msg(cln_bench_write_json(r, &OPTIONS, at(name), &err) == 0, "%s", err.text);
}

static cln_bench_report read_json(const char *name)
{
    cln_bench_report r;
    cln_error err = {0};
    ck_assert_msg(cln_bench_read_json(at(name), &r, &err) == 0, "%s", err.text);
    return r;
}

/* A report with what may stand in one: a full row, one without events and ratio, one that was skipped. */
static cln_bench_report example(void)
{
    cln_bench_report r = {0};
    char *argv[] = {(char[]){"clnorm bench layers"}, (char[]){"--filter"}, (char[]){"it's (all)"}};
    cln_bench_context_fill(&r.context, NULL, 3, argv);
    snprintf(r.context.device, sizeof r.context.device, "cpu-\"quoted\", 8 µ-cores");
    r.context.compute_units = 2;
    r.context.vector_width = 16;
    r.context.peaks = (cln_bench_peaks){.flops = 5.05e11,
                                        .bandwidth = {{1e6, 1.29e11, 9e10}, {1e9, 3.9e10, 5e10}},
                                        .n_bandwidth = 2,
                                        .launch = 2.1e-6,
                                        .round_trip = 1.0 / 3};
    cln_bench_row row = synthetic_row(
        "3.conv",
        &(synthetic){.rounds = 5, .per_round = 3, .time = 0.00123, .noise = 0.1, .noise_seed = 4});
    snprintf(row.shape, sizeof row.shape, "16->32 3x3, \"same\"");
    row.flops = 1.2e9;
    row.bytes = 2.5e7;
    row.event = 0.00119;
    row.first = -1e-5;
    row.ratio = 1.25;
    row.ratio_low = 1.125;
    row.ratio_high = INFINITY;
    row.kernels = calloc(2, sizeof *row.kernels);
    row.n_kernels = 2;
    row.kernels[0] = (cln_bench_kernel){"conv_fwd", 1, 0.001};
    row.kernels[1] = (cln_bench_kernel){"norm_apply", 2.5, 0.0002};
    cln_bench_row_judge(&row, &r.context.peaks);
    ck_assert_int_eq(cln_bench_report_add(&r, &row, NULL), 0);
    ck_assert_ptr_null(row.samples); /* taken over */
    row = synthetic_row("4.relu", &(synthetic){.rounds = 1, .per_round = 1, .time = 2e-6});
    ck_assert_int_eq(cln_bench_report_add(&r, &row, NULL), 0);
    row = synthetic_row("5.conv", &(synthetic){0});
    snprintf(row.note, sizeof row.note, "skipped: needs 5000 MiB");
    ck_assert_int_eq(cln_bench_report_add(&r, &row, NULL), 0);
    return r;
}

/* ---- whole files ------------------------------------------------------------------------- */

START_TEST(json_round_trip)
{
    cln_bench_report r = example();
    write_json(&r, "a.json");
    cln_bench_report back = read_json("a.json");
    write_json(&back, "b.json");
    blob a = get("a.json"), b = get("b.json");
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.bytes, b.bytes, a.size);
    ck_assert_int_eq(back.n_rows, 3);
    const cln_bench_row *x = &r.rows[0],
                        *y = cln_bench_report_find(&back, "alone/3.conv/-/forward");
    ck_assert_ptr_eq(y, &back.rows[0]);
    ck_assert_ptr_null(cln_bench_report_find(&back, "alone/3.conv/-"));
    ck_assert_mem_eq(x->samples, y->samples, 15 * sizeof *x->samples);
    ck_assert_int_eq(y->per_round, 3);
    ck_assert_double_eq(x->median, y->median);
    ck_assert_double_eq(y->event, 0.00119);
    ck_assert_double_eq(y->first, -1e-5);
    ck_assert_double_eq(y->ratio_low, 1.125);
    ck_assert(isinf(y->ratio_high));
    ck_assert_double_eq(y->ceiling, x->ceiling);
    ck_assert_str_eq(y->bound, "flops");
    ck_assert_str_eq(y->kernels[1].name, "norm_apply");
    ck_assert_double_eq(y->kernels[1].launches, 2.5);
    ck_assert(isnan(back.rows[1].event) && isnan(back.rows[1].first));
    ck_assert_double_eq(back.rows[1].ratio, 0);
    ck_assert_int_eq(back.rows[2].n_samples, 0);
    ck_assert_str_eq(back.rows[2].note, "skipped: needs 5000 MiB");
    ck_assert_str_eq(back.context.device, r.context.device);
    ck_assert_str_eq(back.context.command, "clnorm bench layers --filter 'it'\\''s (all)'");
    ck_assert_double_eq(back.context.peaks.round_trip, 1.0 / 3);
    ck_assert_int_eq(back.context.peaks.n_bandwidth, 2);
    free(a.bytes);
    free(b.bytes);
    cln_bench_report_clear(&r);
    cln_bench_report_clear(&back);
    ck_assert_int_eq(back.n_rows, 0);
}
END_TEST

START_TEST(json_has_what_google_benchmark_has)
{
    cln_bench_report r = example();
    write_json(&r, "a.json");
    json_t *root = json_load_file(at("a.json"), 0, NULL);
    const json_t *rows = json_object_get(root, "benchmarks"), *row = json_array_get(rows, 0);
    const char *name, *run_name, *type, *unit;
    int repetitions, index, threads, iterations, failed = 0;
    double real, cpu, bytes, flops, items;
    ck_assert_int_eq(
        json_unpack((json_t *)row,
                    "{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:F, s:F, s:s, s:F, s:F, s:F}", "name",
                    &name, "run_name", &run_name, "run_type", &type, "repetitions", &repetitions,
                    "repetition_index", &index, "threads", &threads, "iterations", &iterations,
                    "real_time", &real, "cpu_time", &cpu, "time_unit", &unit, "bytes_per_second",
                    &bytes, "flops_per_second", &flops, "items_per_second", &items),
        0);
    ck_assert_str_eq(name, "alone/3.conv/-/forward");
    ck_assert_str_eq(run_name, name);
    ck_assert_str_eq(type, "iteration");
    ck_assert_str_eq(unit, "us");
    ck_assert_int_eq(repetitions * 100 + index * 10 + threads, 101);
    ck_assert_int_eq(iterations, 15);
    ck_assert_double_eq_tol(real, 1e6 * r.rows[0].median, 1e-9);
    ck_assert_double_eq_tol(cpu, 1190, 1e-9);
    ck_assert_double_eq_tol(bytes, 2.5e7 / r.rows[0].median, 1);
    ck_assert_double_eq_tol(flops, 1.2e9 / r.rows[0].median, 1);
    ck_assert_double_eq_tol(items, 128 / r.rows[0].median, 1e-3);
    ck_assert_int_eq(json_unpack(json_array_get(rows, 2), "{s:b, s:F}", "error_occurred", &failed,
                                 "real_time", &real),
                     0);
    ck_assert_int_eq(failed, 1);
    ck_assert_double_eq(real, 0);
    json_decref(root);
    cln_bench_report_clear(&r);
}
END_TEST

/* Device names and notes may hold anything; a file that we wrote must be readable. */
START_TEST(json_of_odd_texts)
{
    cln_bench_report r = {0};
    cln_bench_context_fill(&r.context, NULL, 0, NULL);
    snprintf(r.context.device, sizeof r.context.device, "\x1b[31mred\n\xff\xfe");
    write_json(&r, "a.json");
    cln_bench_report back = read_json("a.json");
    ck_assert_str_eq(back.context.device, "?[31mred???");
    write_json(&back, "b.json");
    blob a = get("a.json"), b = get("b.json");
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.bytes, b.bytes, a.size);
    free(a.bytes);
    free(b.bytes);
}
END_TEST

START_TEST(csv_by_rfc_4180)
{
    cln_bench_report r = {0};
    cln_bench_row row = {.batch = 2, .flops = 8, .bytes = 4, .per_round = 1, .repetitions = 3};
    cln_bench_row_name(&row, "alone", "a,b", "bn", "forward");
    snprintf(row.shape, sizeof row.shape, "1x1 \"same\"");
    row.samples = malloc(2 * sizeof *row.samples);
    row.samples[0] = row.samples[1] = 0.5;
    row.n_samples = 2;
    row.event = row.first = NAN;
    row.ceiling = 0.25;
    row.bound = "memory";
    ck_assert_int_eq(cln_bench_row_summarise(&row, NULL), 0);
    ck_assert_int_eq(cln_bench_report_add(&r, &row, NULL), 0);
    ck_assert_int_eq(cln_bench_write_csv(&r, &OPTIONS, at("a.csv"), NULL), 0);
    blob a = get("a.csv");
    a.bytes[a.size] = 0;
    ck_assert_str_eq(
        a.bytes,
        "name,view,what,norm,direction,shape,note,batch,flops,bytes,samples,per_round,"
        "repetitions_per_sample,median,min,p10,p90,cv,event,first,ceiling,percent_of_ceiling,"
        "bytes_per_second,flops_per_second,ratio,ratio_low,ratio_high,noisy,bound,command\r\n"
        "\"alone/a,b/bn/forward\",alone,\"a,b\",bn,forward,\"1x1 \"\"same\"\"\",,2,8,4,2,1,3,"
        "0.5,0.5,0.5,0.5,0,,,0.25,50,8,16,,,,0,memory,"
        "\"clnorm bench layers --model s8 --batch 2 --norm bn --filter "
        "'^alone/a,b/bn/forward$'\"\r\n");
    free(a.bytes);
    cln_bench_report_clear(&r);
}
END_TEST

START_TEST(writes_are_whole_or_not_at_all)
{
    cln_bench_report r = example();
    cln_error err = {0};
    ck_assert_int_eq(cln_bench_write_json(&r, NULL, at("none/a.json"), &err), CLN_ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "none"));
    ck_assert_int_eq(cln_bench_write_csv(&r, NULL, at("none/a.csv"), NULL), CLN_ERR_IO);
    ck_assert_int_ne(access(at("none"), F_OK), 0);
    ck_assert_int_eq(cln_bench_write_json(&r, NULL, at("a.json"), NULL), 0); /* no options */
    cln_bench_report back = read_json("a.json");
    ck_assert_int_eq(back.n_rows, 3);
    cln_bench_report_clear(&back);
    cln_bench_report_clear(&r);
}
END_TEST

/* ---- damaged files ----------------------------------------------------------------------- */

static void refuse_report(const char *name, int code, const char *say)
{
    cln_bench_report out;
    cln_error err = {0};
    const int rc = cln_bench_read_json(at(name), &out, &err);
    ck_assert_msg(rc == code, "%s: %d: %s", say, rc, err.text);
    ck_assert_ptr_nonnull(strstr(err.text, name));
    ck_assert_msg(strstr(err.text, say), "'%s' is not in '%s'", say, err.text);
    for (const char *s = err.text; *s; s++)
        ck_assert((unsigned char)*s >= 32 && *s != 127);
    ck_assert(out.n_rows == 0 && out.rows == NULL);
}

/* One member of a good report replaced (NULL: taken out), and what is then said. */
static const struct {
    char
        part; /* 'r': of the root; 'c': of the context; 'p': of the peaks; '0': of row 1; 'k': of its kernel 1 */
    const char *key, *value, *say;
} DAMAGES[] = {
    {'r', "context", NULL, "context: context is missing"},
    {'r', "context", "[]", "context: context is not an object"},
    {'r', "benchmarks", NULL, "benchmarks: benchmarks is missing"},
    {'r', "benchmarks", "{}", "benchmarks is not a list"},
    {'r', "benchmarks", "[7]", "row 1: not an object"},
    {'c', "format", NULL, "context: no format: not a report of clnorm bench"},
    {'c', "format", "\"clnorm bench 2\"", "format is 'clnorm bench 2', expected 'clnorm bench 1'"},
    {'c', "device", "7", "context: device is not a string"},
    {'c', "driver", "\"\\u001b[31m\"", "context: driver holds a control character"},
    {'c', "date", "\"0123456789012345678901234567890123456789\"", "date has 40 bytes, at most 31"},
    {'c', "compute_units", "-1", "compute_units is -1, expected 0 to"},
    {'c', "vector_width", "1.5", "vector_width is not an integer"},
    {'c', "load_avg", "[1, 2]", "load_avg has not 3 elements"},
    {'c', "load_avg", "[1, 2, \"3\"]", "load_avg is not a number"},
    {'c', "peaks", "null", "peaks is not an object"},
    {'p', "flops", "-5", "context: flops is -5"},
    {'p', "bandwidth", "[1]", "bytes is missing"},
    {'p', "bandwidth",
     "[{\"bytes\": 2, \"copy\": 1, \"read\": 1}, {\"bytes\": 2, \"copy\": 1, \"read\": 1}]",
     "do not ascend"},
    {'p', "bandwidth", "[0,0,0,0,0,0,0,0,0,0,0,0,0]", "bandwidth has 13 elements, at most 12"},
    {'0', "name", NULL, "row 1: name is missing"},
    {'0', "name", "\"\"", "row 1: name is empty"},
    {'0', "name", "\"alone/4.relu/-/forward\"",
     "row 2 (alone/4.relu/-/forward): another row has the same name"},
    {'0', "name", "\"a\\nb\"", "row 1: name holds a control character"},
    {'0', "time_unit", "\"ns\"", "row 1 (alone/3.conv/-/forward): time_unit is 'ns', expected us"},
    {'0', "batch", "4294967296", "batch is 4294967296, expected 0 to"},
    {'0', "batch", "true", "batch is not an integer"},
    {'0', "flops", "-1", "flops is -1"},
    {'0', "bytes", "\"many\"", "bytes is not a number"},
    {'0', "event", "-0.1", "event is -0.1"},
    {'0', "ceiling", "1e300", "ceiling is 1e+300"},
    {'0', "bound", "\"disk\"", "bound is 'disk'"},
    {'0', "ratio", "-2", "ratio is -2"},
    {'0', "ratio_high", "1", "ratio_low is above ratio_high"},
    {'0', "per_round", "0", "per_round is 0, expected 1 to"},
    {'0', "repetitions_per_sample", "0", "repetitions_per_sample is 0"},
    {'0', "samples", NULL, "row 1 (alone/3.conv/-/forward): samples is missing"},
    {'0', "samples", "[0.5, -1]", "sample 2 is -1"},
    {'0', "samples", "[0.5, 0]", "sample 2 is 0"},
    {'0', "samples", "[null]", "sample 1 is not a number"},
    {'0', "samples", "[0.5]", "but its samples give 0.5"},
    {'0', "samples", "[]", "median is"},
    {'0', "median", "0.5", "median is 0.5, but its samples give"},
    {'0', "median", "null", "median is nan, but"},
    {'0', "p90", "0.001", "p90 is 0.001, but its samples give"},
    {'0', "cv", "0", "cv is 0, but"},
    {'0', "real_time", "1", "real_time is 1, but"},
    {'0', "kernels", "null", "kernels is not a list"},
    {'k', "name", "\"0123456789012345678901234567890123456789012345678901234567890\"",
     "name has 61 bytes, at most 47"},
    {'k', "launches", "[]", "launches is not a number"},
    {'k', "seconds", "-1", "seconds is -1"},
};

START_TEST(damaged_members)
{
    cln_bench_report r = example();
    write_json(&r, "good.json");
    cln_bench_report_clear(&r);
    json_t *root = json_load_file(at("good.json"), 0, NULL);
    json_t *context = json_object_get(root, "context");
    json_t *row = json_array_get(json_object_get(root, "benchmarks"), 0);
    json_t *part = DAMAGES[_i].part == 'c'   ? context
                   : DAMAGES[_i].part == 'p' ? json_object_get(context, "peaks")
                   : DAMAGES[_i].part == '0' ? row
                   : DAMAGES[_i].part == 'k' ? json_array_get(json_object_get(row, "kernels"), 0)
                                             : root;
    ck_assert_ptr_nonnull(json_object_get(part, DAMAGES[_i].key));
    if (DAMAGES[_i].value)
        json_object_set_new(part, DAMAGES[_i].key,
                            json_loads(DAMAGES[_i].value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(part, DAMAGES[_i].key);
    ck_assert_int_eq(json_dump_file(root, at("bad.json"), 0), 0);
    json_decref(root);
    refuse_report("bad.json", CLN_ERR_DATA, DAMAGES[_i].say);
}
END_TEST

START_TEST(files_that_are_no_reports)
{
    refuse_report("missing.json", CLN_ERR_IO, "missing.json");
    put_text("empty.json", "");
    refuse_report("empty.json", CLN_ERR_DATA, "line 1");
    put_text("list.json", "[]");
    refuse_report("list.json", CLN_ERR_DATA, "not an object");
    put_text("twice.json", "{\"context\": 1, \"context\": 2}");
    refuse_report("twice.json", CLN_ERR_DATA, "duplicate");
    put_text("escape.json", "{\x1b[31m");
    refuse_report("escape.json", CLN_ERR_DATA, "line 1");
    put_text("more.json", "{}{}");
    refuse_report("more.json", CLN_ERR_DATA, "end of file expected");
    put_text("huge.json", "{\"context\": 1e999}");
    refuse_report("huge.json", CLN_ERR_DATA, "line 1");
    put_text("google.json", "{\"context\": {\"date\": \"2024\"}, \"benchmarks\": []}");
    refuse_report("google.json", CLN_ERR_DATA, "not a report of clnorm bench");
    char deep[20000];
    memset(deep, '[', sizeof deep);
    put("deep.json", deep, sizeof deep);
    refuse_report("deep.json", CLN_ERR_DATA, "depth");
    const int fd = open(at("large.json"), O_CREAT | O_WRONLY, 0666);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 1L << 40), 0);
    close(fd);
    refuse_report("large.json", CLN_ERR_DATA, "large.json");
    cln_bench_report out;
    ck_assert_int_eq(cln_bench_read_json(at(""), &out, NULL), CLN_ERR_IO);
}
END_TEST

/* Cut anywhere it is refused; with any byte changed it is refused or read, and what was read can be written. */
START_TEST(files_cut_and_scratched)
{
    cln_bench_report r = example();
    write_json(&r, "good.json");
    cln_bench_report_clear(&r);
    blob good = get("good.json");
    int refused = 0, tried = 0;
    for (size_t n = 0; n < good.size - 2; n += 61) {
        put("cut.json", good.bytes, n);
        refuse_report("cut.json", CLN_ERR_DATA, "line");
    }
    for (size_t i = 0; i < good.size; i += 17) {
        const char kept = good.bytes[i];
        cln_bench_report out;
        good.bytes[i] = (char)(kept ^ (1 << (i / 17 % 8)));
        put("scratched.json", good.bytes, good.size);
        good.bytes[i] = kept;
        const int rc = cln_bench_read_json(at("scratched.json"), &out, NULL);
        ck_assert(rc == 0 || rc == CLN_ERR_DATA);
        if (rc == 0) {
            write_json(&out, "again.json");
            cln_bench_report again = read_json("again.json");
            cln_bench_report_clear(&again);
        }
        cln_bench_report_clear(&out);
        refused += rc != 0;
        tried++;
    }
    ck_assert_int_gt(refused, tried / 4);
    free(good.bytes);
}
END_TEST

/* ---- texts ------------------------------------------------------------------------------- */

START_TEST(times_have_three_digits)
{
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{1.234e-3, "1.23 ms"}, {456e-6, "456 us"},   {12.34e-6, "12.3 us"},
                 {9.996e-3, "10.0 ms"}, {99.96e-3, "100 ms"}, {999.4e-6, "999 us"},
                 {999.6e-6, "1.00 ms"}, {0.9996, "1.00 s"},   {1234, "1234 s"},
                 {3.2e-9, "3.20 ns"},   {3.2e-12, "0.00 ns"}, {0, "0.00 s"},
                 {-1.5e-3, "-1.50 ms"}, {1e300, "1e+300 s"},  {NAN, "-"},
                 {INFINITY, "-"}};
    char text[16];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ck_assert_str_eq(cln_bench_time_text(cases[i].seconds, text), cases[i].text);
}
END_TEST

START_TEST(rows_are_repeated_by_a_command)
{
    cln_bench_options o = OPTIONS;
    cln_bench_row row = {.batch = 128};
    char text[512];
    cln_bench_row_name(&row, "stage", "3.conv+norm+relu", "bn", "forward");
    cln_bench_repeat(&o, &row, text, sizeof text);
    ck_assert_str_eq(text, "clnorm bench layers --model s8 --batch 128 --norm bn --filter "
                           "'^stage/3\\.conv\\+norm\\+relu/bn/forward$'");
    cln_bench_row_name(&row, "alone", "a'b(c)[d]", "-", NULL);
    row.batch = 0;
    o.device = "0:1 x";
    snprintf(o.model, sizeof o.model, "my nets/a.net");
    cln_bench_repeat(&o, &row, text, sizeof text);
    ck_assert_str_eq(text, "clnorm bench layers --device '0:1 x' --model 'my nets/a.net' "
                           "--norm bn,ln --filter '^alone/a'\\''b\\(c\\)\\[d]/-$'");
    cln_bench_repeat(&o, &row, text, 40); /* never a part of a command */
    ck_assert_str_eq(text, "");
    o = (cln_bench_options){.title = "clnorm bench norms", .norms = {"bn", "gn"}, .n_norms = 2};
    cln_bench_row_name(&row, "norms", "128x32x16x8", "gn4", "backward");
    row.batch = 128;
    cln_bench_repeat(&o, &row, text, sizeof text);
    ck_assert_str_eq(text, "clnorm bench norms --norm gn --groups 4 --shape 128,32,16,8 --filter '^norms/128x32x16x8/gn4/backward$'");
}
END_TEST

/* The pattern of a repeated row selects that row alone. */
START_TEST(repeated_rows_match_themselves)
{
    cln_bench_options o = {.title = "t"};
    cln_bench_row row = {0}, other = {0};
    char text[512];
    regex_t re;
    cln_bench_row_name(&row, "v", "1.a+b|c^d$(e){2}?*\\[f]", "bn", "forward");
    cln_bench_row_name(&other, "v", "1xa+b|c^d$(e){2}?*\\[f]", "bn", "forward");
    cln_bench_repeat(&o, &row, text, sizeof text);
    char *pattern = strchr(text, '\'') + 1;
    pattern[strlen(pattern) - 1] = 0;
    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_int_eq(regexec(&re, row.name, 0, NULL, 0), 0);
    ck_assert_int_ne(regexec(&re, other.name, 0, NULL, 0), 0);
    regfree(&re);
}
END_TEST

START_TEST(context_says_where_and_when)
{
    cln_bench_context c;
    char *argv[] = {(char[]){"clnorm bench step"}, (char[]){"--norm"}, (char[]){"bn,ln"}};
    regex_t date;
    cln_bench_context_fill(&c, NULL, 3, argv);
    ck_assert_int_eq(regcomp(&date, "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}Z$", REG_EXTENDED),
                     0);
    ck_assert_int_eq(regexec(&date, c.date, 0, NULL, 0), 0);
    regfree(&date);
    ck_assert_str_eq(c.command, "clnorm bench step --norm bn,ln");
    ck_assert_str_eq(c.program, "clnorm " CLNORM_VERSION);
    ck_assert(c.host[0] && c.compiler[0] && c.commit[0]);
    ck_assert_str_eq(c.device, "");
    ck_assert_double_ge(c.load[0], 0);
    char long_one[600];
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = 0;
    argv[2] = long_one;
    cln_bench_context_fill(&c, NULL, 3, argv);
    ck_assert_str_eq(c.command, "clnorm bench step --norm ...");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bench reports");
    TCase *c = tcase_create("all");
    tcase_add_checked_fixture(c, scratch_new, scratch_remove);
    tcase_add_test(c, json_round_trip);
    tcase_add_test(c, json_has_what_google_benchmark_has);
    tcase_add_test(c, json_of_odd_texts);
    tcase_add_test(c, csv_by_rfc_4180);
    tcase_add_test(c, writes_are_whole_or_not_at_all);
    tcase_add_loop_test(c, damaged_members, 0, (int)(sizeof DAMAGES / sizeof DAMAGES[0]));
    tcase_add_test(c, files_that_are_no_reports);
    tcase_add_test(c, files_cut_and_scratched);
    tcase_add_test(c, times_have_three_digits);
    tcase_add_test(c, rows_are_repeated_by_a_command);
    tcase_add_test(c, repeated_rows_match_themselves);
    tcase_add_test(c, context_says_where_and_when);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
