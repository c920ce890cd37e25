/* What a request becomes, and what is said about one that is wrong. */

#include "decode.h"
#include "wire/run.h"

static void test_only_code_is_required(void **state) {
        Case c = accepted("{\"code\": \"1\"}");
        const RunRequest *run = &c.request.run;

        assert_slice(run->code, "1");
        assert_int_equal(run->template, 0);
        assert_int_equal(run->flags, REQUEST_WANT_VALUE | REQUEST_WANT_DISPLAYS);
        assert_int_equal(run->data.size, 0);
        assert_int_equal(run->n_arguments + run->n_environment + run->n_files + run->n_variables +
                                 run->n_collect,
                         0);
        for (int i = 0; i < _LIMITS; i++)
                assert_int_equal(run->limits.of[i], limit_infos[i].standard);
        assert_false(c.request.base64);
        assert_false(run->output_overrun_kills);
        done(&c);
}

static void test_every_member(void **state) {
        Case c = accepted("{\"code\": \"print(1)\\n\", \"stdin\": \"in\", \"args\": [\"a\", \"\"], "
                          "\"env\": {\"B\": \"2\", \"A\": \"1\"},"
                          "\"data\": {\"x\": 123456789012345678901234567890, \"y\": \"\\ud800\"},"
                          "\"files\": [{\"path\": \"d/a.txt\", \"content\": \"\\u00e9\"}, "
                          "{\"content_base64\": \"AAEC\", \"path\": \"b\"}],"
                          "\"variables\": [\"df\"], \"collect\": [\"*.png\", \"**/*.csv\"], "
                          "\"template\": \"shell\","
                          "\"limits\": {\"wall_ms\": 5, \"processes\": 8}, \"encoding\": "
                          "\"base64\", \"output_overrun\": \"kill\"}");
        const RunRequest *run = &c.request.run;

        assert_slice(run->code, "print(1)\n");
        assert_slice(run->stdin_bytes, "in");
        assert_int_equal(run->n_arguments, 2);
        assert_slice(run->arguments[0], "a");
        assert_slice(run->arguments[1], "");
        assert_int_equal(run->n_environment, 2);
        assert_slice(run->environment[0].name, "A");
        assert_slice(run->environment[0].value, "1");
        assert_slice(run->data, "{\"x\": 123456789012345678901234567890, \"y\": \"\\ud800\"}");
        assert_int_equal(run->n_files, 2);
        assert_slice(run->files[0].path, "d/a.txt");
        assert_slice(run->files[0].content, "\xc3\xa9");
        assert_int_equal(run->files[1].content.size, 3);
        assert_memory_equal(run->files[1].content.data, "\0\1\2", 3);
        assert_int_equal(run->n_variables, 1);
        assert_slice(run->variables[0], "df");
        assert_int_equal(run->n_collect, 2);
        assert_slice(run->collect[1], "**/*.csv");
        assert_int_equal(run->template, 1);
        assert_int_equal(run->limits.of[LIMIT_WALL_MS], 5);
        assert_int_equal(run->limits.of[LIMIT_PROCESSES], 8);
        assert_int_equal(run->limits.of[LIMIT_MEMORY_MB], limit_infos[LIMIT_MEMORY_MB].standard);
        assert_true(c.request.base64);
        assert_true(c.request.wants_variables);
        assert_true(run->output_overrun_kills);
        done(&c);
}

static void test_null_is_absent(void **state) {
        Case c = accepted("{\"code\": \"1\", \"stdin\": null, \"args\": null, \"env\": null, "
                          "\"data\": null, \"files\": null,"
                          "\"variables\": null, \"collect\": null, \"template\": null, \"limits\": "
                          "null, \"encoding\": null,"
                          "\"output_overrun\": null}");
        Case inside = accepted("{\"code\": \"1\", \"limits\": {\"wall_ms\": null}}");

        assert_int_equal(inside.request.run.limits.of[LIMIT_WALL_MS],
                         limit_infos[LIMIT_WALL_MS].standard);
        done(&inside);
        done(&c);
        assert_refused("{\"code\": null}", 422, "code", "required");
}

static void test_all_variables(void **state) {
        Case c = accepted("{\"code\": \"1\", \"variables\": true}");
        Case none = accepted("{\"code\": \"1\", \"variables\": false}");

        assert_true(c.request.run.flags & REQUEST_WANT_ALL_VARIABLES);
        assert_true(c.request.wants_variables);
        assert_false(none.request.wants_variables);
        done(&none);
        done(&c);
        assert_refused("{\"code\": \"1\", \"variables\": \"df\"}", 422, "variables",
                       "list of names");
        assert_refused("{\"code\": \"1\", \"variables\": [\"a\", 1]}", 422, "variables[1]",
                       "a string, not a number");
}

static void test_the_template_decides_the_limits(void **state) {
        Case c = accepted(
                "{\"limits\": {\"processes\": 4}, \"code\": \"1\", \"template\": \"shell\"}");

        assert_int_equal(c.request.run.limits.of[LIMIT_WALL_MS], 1234);
        assert_int_equal(c.request.run.limits.of[LIMIT_PROCESSES], 4);
        done(&c);
        assert_refused("{\"code\": \"1\", \"limits\": {\"processes\": 2}}", 422, "limits.processes",
                       "no subprocesses");
        assert_refused("{\"code\": \"1\", \"template\": \"x\"}", 422, "template", "default, shell");
}

static void test_not_json(void **state) {
        static const char nul_body[] = "{\"code\": \"1\"}\0";
        Case c;

        assert_refused("", 400, "", "empty");
        assert_refused(" \n", 400, "", "empty");
        assert_refused("{", 400, "", "line 1, column 2 (byte 1)");
        assert_refused("{\"code\":\n  x}", 400, "", "line 2, column 3 (byte 11)");
        assert_refused("{\"code\": \"1\"} x", 400, "", "byte 14");
        assert_refused("{\"code\": \"\xff\"}", 400, "", "byte 10");
        assert_refused("{\"code\": \"\xc0\xaf\"}", 400, "", "byte 10");
        assert_refused("{\"code\": NaN}", 400, "", "not valid JSON");
        assert_refused("code=1%2B1&stdin=", 400, "", "looks like a form");
        assert_refused("--boundary\r\nContent-Disposition: form-data; name=\"code\"", 400, "",
                       "looks like a form");
        assert_refused("\xef\xbb\xbf{\"code\": \"1\"}", 400, "", "byte order mark");
        assert_refused("\x1f\x8b\x08 and so on", 400, "", "compressed");
        assert_refused("\xff\xfe{", 400, "", "UTF-16");
        assert_refused("\xfe\xff", 400, "", "UTF-16");
        assert_refused("\xff", 400, "", "at line 1");
        assert_refused("code", 400, "", "at line 1");
        assert_refused("code = 1", 400, "", "at line 1");
        assert_refused("{\"code\": \"a=b\",}", 400, "", "at line 1");
        c = decode_bytes(nul_body, sizeof(nul_body) - 1);
        assert_false(c.is_read);
        assert_int_equal(c.request.reader.error.status, 400);
        done(&c);
}

static void test_wrong_shapes(void **state) {
        assert_refused("[]", 422, "", "object");
        assert_refused("\"x\"", 422, "", "object");
        assert_refused("{}", 422, "code", "required");
        assert_refused("{\"code\": 1}", 422, "code", "a string, not a number");
        assert_refused("{\"code\": [\"1\"]}", 422, "code", "not an array");
        assert_refused("{\"code\": \"1\", \"args\": \"a\"}", 422, "args", "an array, not a string");
        assert_refused("{\"code\": \"1\", \"args\": [\"a\", null]}", 422, "args[1]", "not null");
        assert_refused("{\"code\": \"1\", \"env\": {\"A\": 1}}", 422, "env.A", "a string");
        assert_refused("{\"code\": \"1\", \"env\": {\"\": \"1\"}}", 422, "env.", "not empty");
        assert_refused("{\"code\": \"1\", \"env\": {\"A=B\": \"1\"}}", 422, "env.A=B", "\"=\"");
        assert_refused("{\"code\": \"1\", \"data\": [1]}", 422, "data", "an object");
        assert_refused("{\"code\": \"1\", \"limits\": []}", 422, "limits", "an object");
        assert_refused("{\"code\": \"1\", \"encoding\": \"latin-1\"}", 422, "encoding",
                       "\"utf-8\" or \"base64\"");
        assert_refused("{\"code\": \"1\", \"output_overrun\": true}", 422, "output_overrun",
                       "a string");
        assert_refused("{\"code\": \"1\", \"collect\": [\"\"]}", 422, "collect[0]", "empty");
        assert_refused("{\"code\": \"1\", \"id\": 1}", 422, "id", "no member");
}

static void test_unknown_members_are_named(void **state) {
        assert_refused("{\"code\": \"1\", \"sdtin\": \"\"}", 422, "sdtin", "\"stdin\"");
        assert_refused("{\"Code\": \"1\"}", 422, "Code", "\"code\"");
        assert_refused("{\"code\": \"1\", \"language\": \"python\"}", 422, "language",
                       "There is no member of this name.");
        assert_refused("{\"code\": \"1\", \"limits\": {\"wall\": 1}}", 422, "limits.wall",
                       "no member");
        assert_refused("{\"code\": \"1\", \"limits\": {\"wallms\": 1}}", 422, "limits.wallms",
                       "\"wall_ms\"");
        assert_refused("{\"code\": \"1\", \"files\": [{\"path\": \"a\", \"contents\": \"\"}]}", 422,
                       "files[0].contents", "\"content\"");
}

static void test_doubles(void **state) {
        assert_refused("{\"code\": \"1\", \"code\": \"2\"}", 400, "code", "twice");
        assert_refused("{\"code\": \"1\", \"c\\u006fde\": \"2\"}", 400, "code", "twice");
        assert_refused("{\"code\": null, \"code\": \"2\"}", 400, "code", "twice");
        assert_refused("{\"code\": \"1\", \"limits\": {\"wall_ms\": 1, \"wall_ms\": 2}}", 400,
                       "limits.wall_ms", "twice");
        assert_refused("{\"code\": \"1\", \"env\": {\"A\": \"1\", \"B\": \"\", \"A\": \"2\"}}", 400,
                       "env", "twice");
        assert_accepted("{\"code\": \"1\", \"data\": {\"a\": 1, \"a\": 2}}");
}

static void test_limits(void **state) {
        static const char *const bad[] = {"0",
                                          "-1",
                                          "-0",
                                          "1.5",
                                          "1e3",
                                          "1e309",
                                          "\"5\"",
                                          "true",
                                          "[]",
                                          "300001",
                                          "18446744073709551616",
                                          "99999999999999999999999999"};
        char text[256];

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                (void) snprintf(text, sizeof(text),
                                "{\"code\": \"1\", \"limits\": {\"wall_ms\": %s}}", bad[i]);
                assert_refused(text, 422, "limits.wall_ms", "");
        }
        assert_refused("{\"code\": \"1\", \"limits\": {\"wall_ms\": 300001}}", 422,
                       "limits.wall_ms", "300000");
        assert_refused("{\"code\": \"1\", \"limits\": {\"wall_ms\": 0}}", 422, "limits.wall_ms",
                       "at least 1");
        assert_accepted(
                "{\"code\": \"1\", \"limits\": {\"wall_ms\": 300000, \"output_bytes\": 0}}");
}

static void test_surrogates(void **state) {
        Case c = accepted("{\"code\": \"\\ud83d\\ude00\\u0000\\\"\\\\\\/\\b\\f\\n\\r\\t\"}");

        assert_int_equal(c.request.run.code.size, 13);
        assert_memory_equal(c.request.run.code.data, "\xf0\x9f\x98\x80\0\"\\/\b\f\n\r\t", 13);
        done(&c);
        assert_refused("{\"code\": \"\\ud800\"}", 400, "code", "surrogate");
        assert_refused("{\"code\": \"\\udc00\\ud800\"}", 400, "code", "surrogate");
        assert_refused("{\"code\": \"\\ud800\\ud83d\\ude00\"}", 400, "code", "surrogate");
        assert_refused("{\"code\": \"1\", \"args\": [\"\", \"\\udfff\"]}", 400, "args[1]",
                       "surrogate");
        assert_refused("{\"code\": \"1\", \"\\ud800\": 1}", 400, "", "surrogate");
}

static void test_nul(void **state) {
        assert_refused("{\"code\": \"1\", \"args\": [\"a\\u0000\"]}", 422, "args[0]", "NUL");
        assert_refused("{\"code\": \"1\", \"env\": {\"A\": \"\\u0000\"}}", 422, "env.A", "NUL");
        assert_refused("{\"code\": \"1\", \"env\": {\"A\\u0000\": \"\"}}", 422, "env.A\\u0000",
                       "NUL");
        assert_refused(
                "{\"code\": \"1\", \"files\": [{\"path\": \"a\\u0000\", \"content\": \"\"}]}", 422,
                "files[0].path", "NUL");
        assert_refused("{\"code\": \"1\", \"collect\": [\"a\\u0000\"]}", 422, "collect[0]", "NUL");
}

/* A body of n bytes may need as much store for its texts as they have: every string with escapes,
 * and base64 of them. */
static void test_every_string_has_escapes(void **state) {
        Case c = accepted("{\"c\\u006fde\": \"\\n\", \"\\u0061rgs\": [\"\\\\\", \"\\\\\"], "
                          "\"files\": [{\"p\\u0061th\": \"\\u0061\", \"content_base64\": "
                          "\"\\/\\/\\/\\/\\/\\/\\/\\/\"}]}");

        assert_slice(c.request.run.code, "\n");
        assert_slice(c.request.run.arguments[1], "\\");
        assert_slice(c.request.run.files[0].path, "a");
        assert_int_equal(c.request.run.files[0].content.size, 6);
        done(&c);
}

static void assert_too_many(const char *before, const char *left, const char *right,
                            const char *after, size_t maximum, const char *field) {
        size_t room = strlen(before) + strlen(after) +
                      (strlen(left) + strlen(right) + 16) * (maximum + 1) + 1;
        char *text = malloc(room);

        for (size_t n = maximum; n <= maximum + 1; n++) {
                size_t used = (size_t) snprintf(text, room, "%s", before);

                for (size_t i = 0; i < n; i++) {
                        used += (size_t) snprintf(text + used, room - used, "%s%s%zu%s",
                                                  i ? "," : "", left, i, right);
                }
                (void) snprintf(text + used, room - used, "%s", after);
                if (n == maximum)
                        assert_accepted(text);
                else
                        assert_refused(text, 422, field, "at most");
        }
        free(text);
}

static void test_counts(void **state) {
        assert_too_many("{\"code\": \"1\", \"args\": [", "\"", "\"", "]}", REQUEST_ARGUMENTS_MAX,
                        "args");
        assert_too_many("{\"code\": \"1\", \"env\": {", "\"A", "\": \"\"", "}}",
                        REQUEST_ENVIRONMENT_MAX, "env");
        assert_too_many("{\"code\": \"1\", \"variables\": [", "\"a", "\"", "]}",
                        REQUEST_VARIABLES_MAX, "variables");
        assert_too_many("{\"code\": \"1\", \"collect\": [", "\"", "\"", "]}", REQUEST_COLLECT_MAX,
                        "collect");
        assert_too_many("{\"code\": \"1\", \"files\": [", "{\"path\":\"", "\",\"content\":\"\"}",
                        "]}", REQUEST_FILES_MAX, "files");
}

static void test_long_names_are_cut(void **state) {
        char text[600] = "{\"code\": \"1\", \"";
        Case c;

        for (int i = 0; i < 100; i++)
                (void) strcat(text, "\xc3\xa9");
        (void) strcat(text, "\": 1}");
        c = decode(text);
        assert_false(c.is_read);
        assert_int_equal(c.request.reader.error.status, 422);
        assert_int_equal(strlen(c.request.reader.error.field), 64);
        done(&c);
}

/* A run in a session has one member more, and one less. */
static void test_in_a_session(void **state) {
        static const struct {
                const char *body, *field; /* NULL: it is taken */
                bool interrupts;
        } cases[] = {
                {"{\"code\": \"\", \"on_timeout\": \"interrupt\"}", NULL, true},
                {"{\"code\": \"\", \"on_timeout\": \"kill\"}", NULL, false},
                {"{\"code\": \"\", \"on_timeout\": \"ask\"}", "on_timeout", false},
                {"{\"code\": \"\", \"template\": \"default\"}", "template", false},
                {"{\"code\": \"\", \"template\": null}", NULL, false},
                {"{\"code\": \"\", \"id\": \"a\"}", "id", false},
        };

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                DecodeContext in_session = context();
                ExecuteRequest request;
                bool is_read;

                in_session.in_session = true;
                is_read =
                        execute_request_decode(&request, &in_session, slice_of_text(cases[i].body));
                assert_int_equal(is_read, cases[i].field == NULL);
                if (is_read)
                        assert_int_equal(request.run.interrupt_first, cases[i].interrupts);
                else
                        assert_string_equal(request.reader.error.field, cases[i].field);
                execute_request_done(&request);
        }
        assert_refused("{\"code\": \"\", \"on_timeout\": \"kill\"}", 422, "on_timeout",
                       "no member of this name");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_only_code_is_required),
                cmocka_unit_test(test_every_member),
                cmocka_unit_test(test_null_is_absent),
                cmocka_unit_test(test_all_variables),
                cmocka_unit_test(test_the_template_decides_the_limits),
                cmocka_unit_test(test_not_json),
                cmocka_unit_test(test_wrong_shapes),
                cmocka_unit_test(test_unknown_members_are_named),
                cmocka_unit_test(test_doubles),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_surrogates),
                cmocka_unit_test(test_nul),
                cmocka_unit_test(test_every_string_has_escapes),
                cmocka_unit_test(test_counts),
                cmocka_unit_test(test_long_names_are_cut),
                cmocka_unit_test(test_in_a_session),
        };

        return cmocka_run_group_tests_name("decode", tests, set_up, NULL);
}
