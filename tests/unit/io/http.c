/* Requests against a server on this machine: many at a time, its faults, and certificates that are refused.
 */
#include "judge_server.h"

#include "fovea/io/http.h"

#include <time.h>

typedef struct tally {
    int n[FV_HTTP_TOO_LONG + 1]; /* by outcome */
    int n_done, status;
    double retry_after_s;
    char problem[256], type[64];
    size_t n_bytes;
} tally;

static fv_err count(void *context, const fv_http_response *response)
{
    tally *t = context;
    t->n[response->outcome]++;
    t->n_done++;
    t->status = response->status;
    t->retry_after_s = response->retry_after_s;
    t->n_bytes = response->body.size;
    snprintf(t->problem, sizeof t->problem, "%s", response->problem);
    snprintf(t->type, sizeof t->type, "%s", response->content_type);
    return FV_OK;
}

static fv_http_settings settings_of(const char *url, const char *ca_file)
{
    static const char *const headers[] = {"Content-Type: application/json", "X-Secret: hush", NULL};
    return (fv_http_settings){.url = url,
                              .headers = headers,
                              .ca_file = ca_file,
                              .ca_folder = "",
                              .max_in_flight = 20,
                              .deadline_s = 60, /* no bound for what a busy machine does */
                              .max_bytes = 4096};
}

static void wait_for(fv_http *http, const tally *t, int n)
{
    while (t->n_done < n)
        assert_ok(fv_http_poll(http, 1));
}

/* One request, and what became of it. */
static tally ask(const fv_http_settings *settings, const char *body)
{
    fv_http *http;
    tally t = {0};
    assert_ok(fv_http_create(settings, &http));
    assert_ok(fv_http_post(http, fv_slice_of(body), count, &t));
    wait_for(http, &t, 1);
    fv_http_destroy(http);
    return t;
}

static void test_many_over_tls(void **state)
{
    (void)state;
    enum { N = 300 };
    judge_server server;
    fv_http *http;
    tally t = {0};
    server_start(&server, "many", "good", NULL);
    char *ca = strdup(temp_path("tls/ca.pem"));
    const fv_http_settings settings = settings_of(server.url, ca);
    assert_ok(fv_http_create(&settings, &http));
    for (int sent = 0; sent < N;) {
        for (; sent < N && fv_http_room(http) > 0; sent++)
            assert_ok(fv_http_post(http, fv_slice_of("say-right"), count, &t));
        assert_ok(fv_http_poll(http, 0.1));
    }
    wait_for(http, &t, N);
    assert_int_equal(t.n[FV_HTTP_ANSWERED], N);
    assert_int_equal(t.status, 200);
    assert_string_equal(t.type, "application/json; charset=utf-8");
    assert_int_equal(server_requests(&server, "ok right"), N);
    assert_int_equal(fv_http_room(http), 20);
    fv_http_destroy(http);
    server_stop(&server);
    free(ca);
}

/* A response with these lines in its head, and what they say of a pause. */
static double pause_of(const fv_http_settings *settings, const char *lines)
{
    char text[512];
    snprintf(text, sizeof text, "HTTP/1.1 429 -\r\n%sContent-Length: 0\r\n\r\n", lines);
    temp_write("pause", text);
    return ask(settings, "reply-pause").retry_after_s;
}

static void test_pauses(const fv_http_settings *settings)
{
    char line[128], date[64];
    time_t later = time(NULL) + 1000;
    struct tm parts;
    gmtime_r(&later, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    snprintf(line, sizeof line, "Retry-After: %s\r\n", date);
    assert_true(pause_of(settings, "Retry-After-Ms: 250\r\nRetry-After: 7\r\n") == 0.25);
    assert_true(pause_of(settings, "retry-after: 7\r\n") == 7);
    double left = pause_of(settings, line);
    assert_true(left > 100 && left <= 1000);
    assert_true(pause_of(settings, "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n") == 0);
    assert_true(pause_of(settings, "Retry-After: soon\r\nretry-after-ms: nan\r\n") == 0);
}

static void test_faults(void **state)
{
    (void)state;
    judge_server server;
    const char *const arguments[] = {"--replies", temp_root, NULL};
    server_start(&server, "faults", NULL, arguments);
    fv_http_settings settings = settings_of(server.url, "");
    tally t = ask(&settings, "always-busy");
    assert_int_equal(t.status, 429);
    assert_true(t.retry_after_s == 1);
    test_pauses(&settings);
    t = ask(&settings, "always-500");
    assert_int_equal(t.n[FV_HTTP_ANSWERED], 1);
    assert_int_equal(t.status, 500);
    assert_int_equal(ask(&settings, "always-half").n[FV_HTTP_BROKEN], 1);
    assert_int_equal(ask(&settings, "always-drop").n[FV_HTTP_BROKEN], 1);
    t = ask(&settings, "always-redirect");
    assert_int_equal(t.status, 302);
    settings.max_bytes = 20;
    assert_int_equal(ask(&settings, "say-right").n[FV_HTTP_TOO_LONG], 1);
    settings.deadline_s = 0.2;
    assert_int_equal(ask(&settings, "always-stall").n[FV_HTTP_LATE], 1);
    server_stop(&server);
    t = ask(&settings, "say-right");
    assert_int_equal(t.n[FV_HTTP_UNREACHABLE], 1);
    assert_null(strstr(t.problem, "hush"));
}

static void test_certificates(void **state)
{
    (void)state;
    static const char *const bad[] = {"expired", "other", "stranger"};
    server_certificates();
    char *ca = strdup(temp_path("tls/ca.pem"));
    judge_server server;
    for (int i = 0; i < 3; i++) {
        server_start(&server, bad[i], bad[i], NULL);
        const fv_http_settings settings = settings_of(server.url, ca);
        const tally t = ask(&settings, "say-right");
        assert_int_equal(t.n[FV_HTTP_UNTRUSTED], 1);
        assert_true(strlen(t.problem) > 0);
        assert_int_equal(server_requests(&server, NULL), 0);
        server_stop(&server);
    }
    server_start(&server, "unknown", "good", NULL); /* the system does not know this authority */
    const fv_http_settings settings = settings_of(server.url, "");
    assert_int_equal(ask(&settings, "say-right").n[FV_HTTP_UNTRUSTED], 1);
    server_stop(&server);
    free(ca);
}

/* What is packed though nobody asked: gzip of "{}". */
static void test_packed(void **state)
{
    (void)state;
    static const char packed[] = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n"
                                 "\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    const char *const arguments[] = {"--replies", temp_root, NULL};
    judge_server server;
    assert_ok(fv_file_write(temp_path("packed"), packed, sizeof packed - 1));
    server_start(&server, "packing", NULL, arguments);
    const fv_http_settings settings = settings_of(server.url, "");
    const tally t = ask(&settings, "reply-packed");
    assert_int_equal(t.n[FV_HTTP_ANSWERED], 1);
    assert_int_equal(t.n_bytes, 2);
    server_stop(&server);
}

static void test_loopback(void **state)
{
    (void)state;
    static const char *const here[] = {"http://127.0.0.1/v1", "http://127.3.2.1:80", "http://[::1]:8000/v1",
                                       "http://localhost:1/", "HTTP://LocalHost",    NULL};
    static const char *const away[] = {"http://127.0.0.1.example/",
                                       "http://128.0.0.1",
                                       "http://[::2]/",
                                       "http://localhost.example",
                                       "http://0.0.0.0/",
                                       "http://x/127.0.0.1",
                                       "http://127.0.0.1@x/",
                                       "http://x#@localhost",
                                       "nonsense",
                                       "",
                                       NULL};
    for (const char *const *url = here; *url; url++)
        assert_true(fv_http_is_loopback(*url));
    for (const char *const *url = away; *url; url++)
        assert_false(fv_http_is_loopback(*url));
}

static void test_refusals(void **state)
{
    (void)state;
    fv_http *http;
    tally t = {0};
    fv_http_settings settings = settings_of("ftp://x", "");
    assert_fails(fv_http_create(&settings, &http), FV_ERR_ARGUMENT, "\"ftp://x\" is no address");
    settings.url = "https://me:hush@x";
    assert_fails(fv_http_create(&settings, &http), FV_ERR_ARGUMENT, "names and passwords");
    assert_null(strstr(fv_error_text(), "hush"));
    settings.url = "https://x/ y";
    assert_fails(fv_http_create(&settings, &http), FV_ERR_ARGUMENT, "white space");
    settings = settings_of("https://x", "/nowhere.pem");
    assert_fails(fv_http_create(&settings, &http), FV_ERR_IO, "/nowhere.pem");
    settings = settings_of("http://127.0.0.1:1", "");
    settings.max_in_flight = 1;
    assert_ok(fv_http_create(&settings, &http));
    assert_ok(fv_http_post(http, (fv_slice){0}, count, &t));
    assert_fails(fv_http_post(http, (fv_slice){0}, count, &t), FV_ERR_ARGUMENT, "no more than that");
    fv_http_destroy(http); /* with a request under way */
    assert_int_equal(t.n_done, 0);
}

static fv_err refuse(void *context, const fv_http_response *response)
{
    (void)response;
    ++*(int *)context;
    return FV_FAIL(FV_ERR_FORMAT, "not this one");
}

static void test_failures_of_done_arrive(void **state)
{
    (void)state;
    judge_server server;
    fv_http *http;
    int n = 0;
    fv_err err = FV_OK;
    server_start(&server, "done", NULL, NULL);
    const fv_http_settings settings = settings_of(server.url, "");
    assert_ok(fv_http_create(&settings, &http));
    for (int i = 0; i < 2; i++)
        assert_ok(fv_http_post(http, fv_slice_of("say-right"), refuse, &n));
    while (n < 2)
        if (fv_http_poll(http, 1) != FV_OK)
            err = FV_ERR_FORMAT;
    assert_int_equal(err, FV_ERR_FORMAT);
    assert_int_equal(fv_http_room(http), 20);
    fv_http_destroy(http);
    server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_over_tls),
                                       cmocka_unit_test(test_faults),
                                       cmocka_unit_test(test_certificates),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_packed),
                                       cmocka_unit_test(test_loopback),
                                       cmocka_unit_test(test_failures_of_done_arrive)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
