/* The API judge against a server that fails as it is told: every verdict is the scripted one, and none is
 * invented. */
#include "judge_server.h"

#include "judge_case.h"

#include "fovea/base/clock.h"
#include "fovea/reward/judge/judge_api.h"

#include <sys/stat.h>

#define KEY "sk-hush-3141592653589793"

static char ca_file[128];

static fv_judge_prompt *load_prompt(void)
{
    fv_judge_prompt *prompt;
    assert_ok(fv_judge_prompt_load(temp_path("p.yaml"), &prompt));
    return prompt;
}

static fv_judge_api_settings settings_of(const judge_server *server)
{
    return (fv_judge_api_settings){.url = server->url,
                                   .model = "m",
                                   .key_file = "",
                                   .ca_file = ca_file,
                                   .in_flight = 16,
                                   .deadline_s = 60, /* a busy machine is no fault */
                                   .tries = 3,
                                   .budget_s = 600,
                                   .temperature_step = 0.5};
}

static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    server_certificates();
    snprintf(ca_file, sizeof ca_file, "%s", temp_path("tls/ca.pem"));
    temp_write("p.yaml", "system: s\nuser: '{question} {truth} {answer}'\nverdict: score\n");
    return setenv("OPENAI_API_KEY", KEY, 1);
}

/* What is said, how it fails first, and what should come of it. */
typedef struct scripted {
    const char *say, *fault, *expected;
} scripted;

static const scripted scripts[] = {
    {"right", "", "right"},
    {"wrong", "", "wrong"},
    {"right", "first-busy", "right"},
    {"wrong", "first-500", "wrong"},
    {"right", "first-503", "right"},
    {"wrong", "first-half", "wrong"},
    {"wrong", "first-drop", "wrong"},
    {"right", "first-garbage", "right"},
    {"wrong", "first-html", "wrong"},
    {"ten", "", "unclear"},
    {"both", "", "both"},
    {"refuse", "", "refused"},
    {"filter", "", "refused"},
    {"cut", "", "cut"},
    {"nothing", "", "garbled"},
    {"right", "always-500", "unreachable"},
    {"right", "always-garbage", "garbled"},
    {"right", "always-html", "garbled"},
    {"right", "always-400", "rejected"},
    {"right", "always-413", "rejected"},
    {"right", "always-filtered", "refused"},
};
enum { N_SCRIPTS = sizeof scripts / sizeof *scripts };

/* n cases, most of them without faults. */
static void judge_scripted(fv_judge *judge, int n)
{
    judged *j = calloc((size_t)n, sizeof *j);
    char(*answers)[64] = calloc((size_t)n, sizeof *answers);
    assert_true(j && answers);
    for (int i = 0; i < n; i++) {
        const scripted *s = &scripts[i % 3 ? i % 2 : i / 3 % N_SCRIPTS];
        snprintf(answers[i], sizeof answers[i], "%d say-%s. %s.", i, s->say, s->fault);
        judged_ask(judge, &j[i], answers[i], "7");
        assert_ok(fv_judge_poll(judge, 0));
    }
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < n; i++) {
        const scripted *s = &scripts[i % 3 ? i % 2 : i / 3 % N_SCRIPTS];
        if (strcmp(judged_outcome(&j[i]), s->expected) != 0)
            fail_msg("\"%s\" is %s, expected %s", answers[i], judged_outcome(&j[i]), s->expected);
    }
    free(j);
    free(answers);
}

static void test_scripted_faults(void **state)
{
    (void)state;
    enum { N = 6 * N_SCRIPTS };
    static const char *const arguments[] = {"--require", "Authorization: Bearer " KEY, NULL};
    judge_server server;
    fv_judge *judge;
    fv_judge_counts counts;
    server_start(&server, "scripted", "good", arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judge_scripted(judge, N);
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_asked, N);
    /* The library itself sends again what a kept connection dropped. */
    assert_in_range(counts.n_tries, N, server_requests(&server, NULL));
    assert_true(counts.latency_s > 0);
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_tries(void **state)
{
    (void)state;
    judge_server server;
    fv_judge *judge;
    judged j;
    server_start(&server, "tries", NULL, NULL);
    const fv_judge_api_settings settings = settings_of(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judged_ask(judge, &j, "say-ten", "7");
    assert_ok(fv_judge_collect(judge));
    assert_int_equal(server_requests(&server, NULL), 3);
    assert_int_equal(server_requests(&server, " 0.0"), 1); /* the temperature rises */
    assert_int_equal(server_requests(&server, " 0.5"), 1);
    assert_int_equal(server_requests(&server, " 1.0"), 1);
    double from = fv_clock_now();
    judged_ask(judge, &j, "say-right first-busy", "7");
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&j), "right");
    assert_true(fv_clock_now() - from >= 1);  /* Retry-After */
    judged_ask(judge, &j, "always-403", "7"); /* of a server that is known: this case, not the key */
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&j), "rejected");
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* A connection that was kept and is gone when a request comes is no fault of the request: it is sent again,
 * on a fresh one, and no try is counted. */
static void test_a_kept_connection_that_is_gone(void **state)
{
    (void)state;
    enum { LONG = 1 << 22, N = 8 };
    static char text[LONG + 64];
    static const char *const arguments[] = {"--stale", "1", NULL};
    judge_server server;
    fv_judge *judge;
    fv_judge_counts counts;
    judged j;
    server_start(&server, "stale", NULL, arguments);
    fv_judge_api_settings settings = settings_of(&server);
    settings.tries = 1;
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "say-right %0*d", i % 2 ? LONG : 1, i);
        judged_ask(judge, &j, text, "7");
        assert_ok(fv_judge_collect(judge));
        assert_string_equal(judged_outcome(&j), "right");
    }
    fv_judge_take_counts(judge, &counts);
    assert_int_equal(counts.n_tries, N);
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* What stalls is late, as often as this machine may make other requests late. */
static void test_a_server_that_stalls(void **state)
{
    (void)state;
    judge_server server;
    fv_judge *judge;
    judged j;
    server_start(&server, "stalls", NULL, NULL);
    fv_judge_api_settings settings = settings_of(&server);
    settings.deadline_s = 0.5;
    settings.tries = 1000;
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judged_ask(judge, &j, "say-right first-stall", "7");
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&j), "right");
    assert_int_equal(server_requests(&server, "stall right"), 1);
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* Nobody listens after the hundredth request, until several have failed. */
static void test_a_server_that_goes_away(void **state)
{
    (void)state;
    enum { N = 300 };
    static const char *const arguments[] = {"--away-after", "100", NULL};
    static judged j[N];
    judge_server server;
    fv_judge *judge;
    fv_judge_counts counts;
    char answers[N][32];
    int64_t n_tries = 0;
    server_start(&server, "away", "good", arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    for (int i = 0; i < N; i++) {
        snprintf(answers[i], sizeof answers[i], "%d say-%s", i, i % 2 ? "right" : "wrong");
        judged_ask(judge, &j[i], answers[i], "7");
    }
    while (n_tries < 117) { /* 16 in flight have failed, and a probe */
        assert_ok(fv_judge_poll(judge, 1));
        fv_judge_take_counts(judge, &counts);
        n_tries += counts.n_tries;
    }
    temp_write("away/back", "");
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&j[i]), i % 2 ? "right" : "wrong");
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_a_server_that_stays_away(void **state)
{
    (void)state;
    enum { N = 40 };
    judge_server server;
    fv_judge *judge;
    fv_judge_counts counts;
    judged j[N];
    server_start(&server, "gone", NULL, NULL);
    fv_judge_api_settings settings = settings_of(&server);
    settings.budget_s = 2;
    server_stop(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    for (int i = 0; i < N; i++)
        judged_ask(judge, &j[i], "x", "7");
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&j[i]), "unreachable");
    fv_judge_take_counts(judge, &counts);
    assert_in_range(counts.n_tries, 1, N + 10); /* it was left in peace */
    fv_judge_destroy(judge);
}

/* Cases that make the server fail do not keep it from the others. */
static void test_cases_that_always_fail(void **state)
{
    (void)state;
    enum { N = 40, N_BAD = 6 };
    static judged j[N];
    judge_server server;
    fv_judge *judge;
    char answers[N][40];
    server_start(&server, "poison", NULL, NULL);
    fv_judge_api_settings settings = settings_of(&server);
    settings.tries = 2;
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    for (int i = 0; i < N; i++) {
        snprintf(answers[i], sizeof answers[i], "%d say-right %s", i, i < N_BAD ? "always-500" : "");
        judged_ask(judge, &j[i], answers[i], "7");
        while (i + 1 == N_BAD && server_requests(&server, NULL) < N_BAD)
            assert_ok(fv_judge_poll(judge, 0.1));
    }
    assert_ok(fv_judge_collect(judge));
    for (int i = 0; i < N; i++)
        assert_string_equal(judged_outcome(&j[i]), i < N_BAD ? "unreachable" : "right");
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* What will not heal ends with a sentence, which holds no key. */
static void fail_with(const char *answer, const char *require, const char *part)
{
    const char *const arguments[] = {"--require", require, NULL};
    judge_server server;
    fv_judge *judge;
    judged j;
    server_start(&server, part, "good", require ? arguments : NULL);
    const fv_judge_api_settings settings = settings_of(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judged_ask(judge, &j, answer, "7");
    assert_fails(fv_judge_collect(judge), FV_ERR_ARGUMENT, part);
    assert_null(strstr(fv_error_text(), KEY));
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_what_will_not_heal(void **state)
{
    (void)state;
    fail_with("x", "another key", "does not accept the key");
    fail_with("always-403", NULL, "does not let us in");
    fail_with("always-404", NULL, "there is no such judge");
    fail_with("always-redirect", NULL, "redirects (status 302)");
    judge_server server;
    fv_judge *judge;
    judged j;
    server_start(&server, "expired", "expired", NULL);
    const fv_judge_api_settings settings = settings_of(&server);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judged_ask(judge, &j, "x", "7");
    assert_fails(fv_judge_collect(judge), FV_ERR_ARGUMENT, "cannot be trusted: ");
    assert_int_equal(server_requests(&server, NULL), 0);
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void refuse(const fv_judge_api_settings *settings, const char *part)
{
    fv_judge *judge;
    assert_fails(fv_judge_api_create(settings, load_prompt(), &judge), FV_ERR_ARGUMENT, part);
    assert_null(strstr(fv_error_text(), "hush"));
    assert_null(judge);
}

static void test_keys(void **state)
{
    (void)state;
    fv_judge *judge;
    fv_judge_api_settings settings = {
        .url = "https://127.0.0.1:1/v1", .model = "m", .key_file = "", .ca_file = ca_file, .in_flight = 1};
    char path[128];
    temp_write("key", KEY "\n");
    snprintf(path, sizeof path, "%s", temp_path("key"));
    settings.key_file = path;
    chmod(path, 0640);
    refuse(&settings, "only you can read");
    chmod(path, 0600);
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    fv_judge_destroy(judge);
    settings.url = "http://192.0.2.1/v1";
    refuse(&settings, "for https only");
    settings.key_over_http = 1;
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    fv_judge_destroy(judge);
    settings.key_over_http = 0;
    settings.url = "http://localhost:1/v1";
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    fv_judge_destroy(judge);
    settings.url = "https://127.0.0.1:1/v1";
    temp_write("key", "hush\r\nX-Other: 1\n");
    chmod(path, 0600);
    refuse(&settings, "holds a character that no key has");
    settings.key_file = "";
    unsetenv("OPENAI_API_KEY");
    refuse(&settings, "set OPENAI_API_KEY");
    settings.service = FV_API_AZURE;
    settings.url = "";
    refuse(&settings, "AZURE_ENDPOINT is not set");
    setenv("AZURE_ENDPOINT", "https://127.0.0.1:1/", 1);
    refuse(&settings, "AZURE_API_VERSION is not set");
    setenv("AZURE_API_VERSION", "2024-06-01", 1);
    refuse(&settings, "/openai/deployments/m/chat/completions?api-version=2024-06-01: set AZURE_API_KEY");
    setenv("OPENAI_API_KEY", KEY, 1);
}

static void test_azure(void **state)
{
    (void)state;
    static const char *const arguments[] = {"--require", "\r\napi-key: " KEY "\r\n", NULL};
    judge_server server;
    fv_judge *judge;
    judged j;
    server_start(&server, "azure", "good", arguments);
    setenv("AZURE_API_KEY", KEY, 1);
    fv_judge_api_settings settings = settings_of(&server);
    settings.service = FV_API_AZURE;
    assert_ok(fv_judge_api_create(&settings, load_prompt(), &judge));
    judged_ask(judge, &j, "say-right", "7");
    assert_ok(fv_judge_collect(judge));
    assert_string_equal(judged_outcome(&j), "right");
    fv_judge_destroy(judge);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scripted_faults),
                                       cmocka_unit_test(test_tries),
                                       cmocka_unit_test(test_a_kept_connection_that_is_gone),
                                       cmocka_unit_test(test_a_server_that_stalls),
                                       cmocka_unit_test(test_a_server_that_goes_away),
                                       cmocka_unit_test(test_a_server_that_stays_away),
                                       cmocka_unit_test(test_cases_that_always_fail),
                                       cmocka_unit_test(test_what_will_not_heal),
                                       cmocka_unit_test(test_keys),
                                       cmocka_unit_test(test_azure)};
    return cmocka_run_group_tests(tests, setup, temp_teardown);
}
