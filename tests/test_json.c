/* JSON where memory runs out: each allocation of a parse fails in turn, and nothing else may come of it than that. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static long calls, fails_at, held;

static void *failing_malloc(size_t n)
{
    void *block = ++calls == fails_at ? NULL : malloc(n);
    held += block != NULL;
    return block;
}

static void counting_free(void *block)
{
    held -= block != NULL;
    free(block);
}

/* Escapes, a string longer than the parser's first buffer, numbers, nested lists, many members: what makes it allocate. */
static char *make_text(void)
{
    char *text = calloc(1, 8192);
    ck_assert_ptr_nonnull(text);
    strcat(text, "{\"net\": \"conv 16 k=3\\n$norm\\u00e9");
    for (int i = 0; i < 40; i++)
        strcat(text, " a long text \\\\ \\\" and more");
    strcat(text, "\", \"list\": [1, -2.5e-3, true, null, [[], {}], \"x\"");
    for (int i = 0; i < 40; i++)
        strcat(text, ", {\"number\": 0.125, \"name\": \"one\"}");
    strcat(text, "]");
    for (int i = 0; i < 26; i++) {
        const char member[] = {',', '"', (char)('a' + i), '"', ':', '1', '\0'};
        strcat(text, member);
    }
    return strcat(text, "}");
}

START_TEST(every_allocation)
{
    char *text = make_text();
    json_error_t at;
    json_t *value = NULL;
    bool no_memory = true;
    json_set_alloc_funcs(failing_malloc, counting_free);
    for (fails_at = 1; no_memory; fails_at++) {
        ck_assert_int_lt(fails_at, 10000);
        calls = 0;
        value = cln_json_load(text, strlen(text), JSON_REJECT_DUPLICATES, &at, &no_memory);
        ck_assert(no_memory == (calls == fails_at));
        ck_assert(no_memory != (value != NULL));
        ck_assert(!no_memory || held == 0);
    }
    ck_assert_int_gt(fails_at, 200);
    ck_assert_uint_eq(strlen(json_string_value(json_object_get(value, "net"))), 19 + 40 * 25);
    ck_assert_uint_eq(json_array_size(json_object_get(value, "list")), 46);
    ck_assert_uint_eq(json_object_size(value), 28);
    json_decref(value);
    ck_assert_int_eq(held, 0);
    free(text);
}
END_TEST

/* What is wrong with a text is told apart from what is wrong with the machine. */
START_TEST(malformed)
{
    json_error_t at;
    bool no_memory = true;
    fails_at = 0;
    ck_assert_ptr_null(cln_json_load("{\"a\": [1, 2}", 12, 0, &at, &no_memory));
    ck_assert(!no_memory);
    ck_assert_int_eq(at.line, 1);
    ck_assert_int_eq(held, 0);
    ck_assert_ptr_null(cln_json_load("", 0, 0, NULL, &no_memory));
    ck_assert(!no_memory);
}
END_TEST

/* All that was read is given back, in a time that goes with its length and not with the square: that would be hours. */
START_TEST(long_and_malformed)
{
    enum { VALUES = CLN_JSON_MAX_VALUES - 1 };
    char *text = malloc(2 * VALUES + 2);
    json_error_t at;
    bool no_memory = true;
    ck_assert_ptr_nonnull(text);
    text[0] = '[';
    for (int i = 0; i < VALUES; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    text[2 * VALUES + 1] = '\0';
    held = 0;
    fails_at = -1;
    json_set_alloc_funcs(failing_malloc, counting_free);
    ck_assert_ptr_null(cln_json_load(text, 2 * VALUES + 1, 0, &at, &no_memory));
    ck_assert(!no_memory);
    ck_assert_int_eq(held, 0);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("memory");
    tcase_add_test(tc, every_allocation);
    tcase_add_test(tc, malformed);
    tcase_add_test(tc, long_and_malformed);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
