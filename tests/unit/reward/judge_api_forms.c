/* The API judge and the many forms of services and gateways: what they refuse, what they say and how, and
 * what people have set for them. */
#include "judge_server.h"

#include "judge_case.h"

#include "fovea/reward/judge/judge_api.h"
#include "fovea/base/log.h"

#define KEY "sk-hush-3141592653589793"

static int setup(void **state)
{
    if (temp_setup(state) != 0)
        return -1;
    temp_write("p.yaml", "system: be short\nuser: '{question} {truth} {answer}'\nverdict: score\n");
    temp_folder("replies");
    static const char *const names[] = {"OPENAI_BASE_URL",   "AZURE_API_KEY",
                                        "AZURE_ENDPOINT",    "AZURE_OPENAI_ENDPOINT",
                                        "AZURE_API_VERSION", "AZURE_OPENAI_API_VERSION",
                                        "SSL_CERT_FILE",     "SSL_CERT_DIR",
                                        "CURL_CA_BUNDLE",    NULL};
    for (const char *const *name = names; *name; name++)
        unsetenv(*name);
    return setenv("OPENAI_API_KEY", KEY, 1);
}

static fv_judge_api_settings settings_of(const judge_server *server)
{
    return (fv_judge_api_settings){.url = server->url,
                                   .model = "m",
                                   .key_file = "",
                                   .ca_file = "",
                                   .headers = "",
                                   .in_flight = 4,
                                   .deadline_s = 60,
                                   .tries = 2,
                                   .budget_s = 600,
                                   .temperature_step = 0.5,
                                   .reply_tokens = 64};
}

static fv_judge *create(const fv_judge_api_settings *settings)
{
    fv_judge *judge;
    fv_judge_prompt *prompt;
    assert_ok(fv_judge_prompt_load(temp_path("p.yaml"), &prompt));
    assert_ok(fv_judge_api_create(settings, prompt, &judge));
    return judge;
}

static void write_reply(const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "replies/%s", name);
    temp_write(path, text);
}

/* A reply of this status with a body. */
static void write_status(const char *name, int status, const char *headers, const char *body)
{
    char text[4096];
    snprintf(text, sizeof text, "HTTP/1.1 %d -\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
             strlen(body), body);
    write_reply(name, text);
}

static const char *outcome_of(fv_judge *judge, const char *answer)
{
    static judged j;
    judged_ask(judge, &j, answer, "7");
    assert_ok(fv_judge_collect(judge));
    return judged_outcome(&j);
}

/* What the log holds since it was kept at this path. */
static int log_count(const char *name, const char *part)
{
    char line[4096];
    int n = 0;
    FILE *file = fopen(temp_path(name), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        assert_null(strstr(line, "hush"));
        n += strstr(line, part) != NULL;
    }
    fclose(file);
    return n;
}

#define CHOICE(message) "{\"choices\":[{\"finish_reason\":\"stop\"," message "}]}"
#define RIGHT "\"message\":{\"content\":\"Score: 1\"}"

static const struct {
    const char *headers, *body, *expected;
} usable[] = {
    {"",
     CHOICE("\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Score\"},{\"type\":\"text\",\"text\":\":"
            " 1\"}]}"),
     "right"},
    {"",
     CHOICE("\"message\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":"
            "\"Score: 0\"}]},"
            "{\"type\":\"text\",\"text\":\"Score: 1\"}]}"),
     "right"},
    {"", CHOICE("\"message\":{\"content\":[\"Score: \",\"0\"]}"), "wrong"},
    {"", CHOICE("\"message\":{\"content\":[{\"type\":\"refusal\",\"refusal\":\"No.\"}]}"), "refused"},
    {"", CHOICE("\"message\":{\"content\":[]}"), "garbled"},
    {"", CHOICE("\"message\":{\"content\":{\"a\":1}}"), "garbled"},
    {"Content-Type: text/plain\r\n", CHOICE(RIGHT), "right"},
    {"Content-Type: text/html\r\n", CHOICE(RIGHT), "right"},
    {"Content-Type: application/octet-stream\r\n", "\xEF\xBB\xBF" CHOICE(RIGHT), "right"},
    {"", "\n\n " CHOICE(RIGHT) "\n", "right"},
    {"",
     "{\"id\":1,\"id\":2,\"choices\":[{\"logprobs\":NaN,\"a\":-Infinity,\"b\":1e999,\"c\":"
     "99999999999999999999,"
     "\"d\":\"\\ud83d\",\"e\":\"a\tb\xff\"," RIGHT ",\"a\":[nan,None]}]}",
     "right"},
    {"", "{\"choices\":[{\"finish_reason\":\"content_filter\"," RIGHT "}]}", "refused"},
    {"", "{\"choices\":[{\"finish_reason\":\"content_filter: SAFETY\",\"message\":{}}]}", "refused"},
    {"", "{\"choices\":[{\"finish_reason\":\"length\"," RIGHT "}]}", "cut"},
    {"", "{\"choices\":[{\"finish_reason\":\"error\"," RIGHT "}]}", "garbled"},
    {"", "{\"choices\":[]}", "garbled"},
    {"", "[]", "garbled"},
    {"", "null", "garbled"},
    {"Content-Type: text/event-stream\r\n",
     "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
     "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Score: 0\"}}]}\n\n"
     "data: {\"choices\":[{\"delta\":{\"content\":\"Sco\"}}]}\n\ndata: "
     "{\"choices\":[{\"delta\":{\"content\":\"re: 1\"}}]}\n\n"
     "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
     "{\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n",
     "right"},
    {"",
     ": wait\r\n\r\nevent: x\r\ndata:{\"choices\":[{\"delta\":\r\ndata: {\"content\":\"Score: "
     "0\"}}]}\r\n\r\ndata: [DONE]\r\n",
     "wrong"},
    {"",
     "data: {\"choices\":[{\"delta\":{\"content\":\"Score: \"}}]}\ndata: "
     "{\"choices\":[{\"delta\":{\"content\":\"1\"}}]}\ndata: [DONE]\n",
     "right"},
    {"", "data: {\"choices\":[{\"delta\":{\"content\":\"Score: 1\"}}]}\n\n", "cut"},
    {"",
     "data: {\"choices\":[{\"delta\":{\"content\":\"Score: 1\"},\"finish_reason\":\"length\"}]}\n\ndata: "
     "[DONE]\n\n",
     "cut"},
    {"", "data: {\"choices\":[{\"delta\":{\"refusal\":\"No.\"}}]}\n\ndata: [DONE]\n\n", "refused"},
    {"", "data: {\"choices\":[{\"delta\":{\"content\":\"Score\n\n", "garbled"},
    {"", "<html><title>Sign in</title>Score: 1</html>", "garbled"},
    {"", "{\"error\":{\"code\":400,\"message\":\"odd\"}}", "rejected"},
    {"", "[{\"error\":{\"code\":451,\"message\":\"content_policy_violation\"}}]", "refused"},
};

static void test_usable(void **state)
{
    (void)state;
    const char *const arguments[] = {"--replies", temp_path("replies"), NULL};
    judge_server server;
    server_start(&server, "usable", NULL, arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    fv_judge *judge = create(&settings);
    assert_string_equal(outcome_of(judge, "say-right"), "right"); /* from now on it is known */
    for (size_t i = 0; i < sizeof usable / sizeof *usable; i++) {
        write_status("r", 200, usable[i].headers, usable[i].body);
        const char *outcome = outcome_of(judge, "reply-r");
        if (strcmp(outcome, usable[i].expected) != 0)
            fail_msg("%s: %s, expected %s", usable[i].body, outcome, usable[i].expected);
    }
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* Refusals of one case, by a server that has answered others; and what is asked again. */
static const struct {
    int status;
    const char *body, *expected;
} refusals[] = {
    {400,
     "{\"error\":{\"message\":\"The response was filtered due to the prompt triggering Azure OpenAI's "
     "content "
     "management "
     "policy.\",\"code\":\"content_filter\",\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}",
     "refused"},
    {400,
     "{\"error\":{\"message\":\"litellm.BadRequestError: litellm.ContentPolicyViolationError: "
     "x\",\"code\":\"400\"}}",
     "refused"},
    {400,
     "{\"error\":{\"message\":\"Provider returned "
     "error\",\"code\":400,\"metadata\":{\"raw\":\"{\\\"error\\\":{\\\"code\\\":"
     "\\\"content_filter\\\"}}\"}}}",
     "refused"},
    {403, "{\"error\":{\"message\":\"Your input was flagged\",\"metadata\":{\"reasons\":[\"moderation\"]}}}",
     "refused"},
    {422, "{\"detail\":[{\"loc\":[\"body\",\"messages\"],\"msg\":\"content policy\"}]}", "refused"},
    {400,
     "{\"error\":{\"message\":\"This model's maximum context length is 9 "
     "tokens.\",\"code\":\"context_length_exceeded\"}}",
     "rejected"},
    {500, "{\"error\":{\"message\":\"ContentPolicyViolationError\"}}", "refused"},
    {413, "<html><head><title>413 Request Entity Too Large</title></head></html>", "rejected"},
    {404, "{\"error\":{\"message\":\"not found\"}}", "rejected"},
    {422, "{\"detail\":\"odd\"}", "rejected"},
    {409, "{\"error\":{\"message\":\"conflict\"}}", "unreachable"},
    {425, "", "unreachable"},
};

static void test_refusals_of_a_case(void **state)
{
    (void)state;
    const char *const arguments[] = {"--replies", temp_path("replies"), NULL};
    judge_server server;
    server_start(&server, "refusals", NULL, arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    fv_judge *judge = create(&settings);
    assert_string_equal(outcome_of(judge, "say-right"), "right");
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        write_status("r", refusals[i].status, "retry-after-ms: 1\r\n", refusals[i].body);
        int before = server_requests(&server, NULL), again = strcmp(refusals[i].expected, "unreachable") == 0;
        const char *outcome = outcome_of(judge, "reply-r");
        if (strcmp(outcome, refusals[i].expected) != 0)
            fail_msg("%d %s: %s, expected %s", refusals[i].status, refusals[i].body, outcome,
                     refusals[i].expected);
        assert_int_equal(server_requests(&server, NULL), before + 1 + again);
    }
    assert_string_equal(outcome_of(judge, "say-right first-409"), "right");
    assert_string_equal(outcome_of(judge, "say-wrong first-425"), "wrong");
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* What ends a run, with the server's sentence; at a server that has answered nothing, or at any. */
static const struct {
    int is_known, status;
    const char *body, *part;
} fatal[] = {
    {1, 401, "{\"error\":{\"message\":\"Incorrect API key provided: " KEY ". Find it.\"}}",
     "does not accept the key (status 401): Incorrect API key provided: [key]"},
    {1, 402, "{\"error\":{\"message\":\"Insufficient Balance\"}}", "(status 402): Insufficient Balance"},
    {1, 402, "", "(status 402)"},
    {1, 429,
     "{\"error\":{\"message\":\"You exceeded your current quota. Pay.\",\"type\":\"insufficient_quota\"}}",
     "(status 429): You exceeded your current quota"},
    {1, 400,
     "{\"error\":{\"message\":\"upstream said {\\\"error\\\":{\\\"message\\\":\\\"no "
     "more\\\",\\\"code\\\":\\\"insufficient_quota\\\"}}\"}}",
     "(status 400): no more"},
    {1, 200, "{\"error\":{\"message\":\"poor\",\"code\":402}}", "(status 402): poor"},
    {0, 403, "{\"message\":\"Country not supported\"}",
     "does not let us in (status 403): Country not supported"},
    {0, 404,
     "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for this resource does "
     "not exist. Wait.\"}}",
     "(status 404): check judge.model: The API deployment for this resource does not exist"},
    {0, 404, "{\"detail\":\"Not Found\"}", "there is no such judge"},
    {0, 400, "{\"error\":{\"message\":\"Model Not Exist\",\"type\":\"invalid_request_error\"}}",
     "has no model \"m\""},
    {0, 400, "{\"error\":{\"message\":\"Invalid model name passed in model=m. Call `/v1/models`\"}}",
     "Invalid model name passed in model=m"},
    {0, 400, "{\"error\":\"m is not a valid model ID\"}", "m is not a valid model ID"},
    {0, 422, "{\"error\":{\"param\":\"" KEY "\",\"message\":\"Odd.\"}}", "(status 422): [key]: Odd"},
    {0, 400,
     "[{\"error\":{\"code\":400,\"message\":\"API key not valid. Pass "
     "one.\",\"status\":\"INVALID_ARGUMENT\"}}]",
     "does not accept the key (status 400): API key not valid"},
    {0, 422, "{\"detail\":[{\"type\":\"missing\",\"loc\":[\"body\",\"user\"],\"msg\":\"Field required\"}]}",
     "(status 422): user: Field required"},
};

static void check_fatal(size_t i)
{
    const char *const arguments[] = {"--replies", temp_path("replies"), NULL};
    judge_server server;
    judged j;
    char name[32];
    snprintf(name, sizeof name, "fatal%zu", i);
    server_start(&server, name, NULL, arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    fv_judge *judge = create(&settings);
    if (fatal[i].is_known)
        assert_string_equal(outcome_of(judge, "say-right"), "right");
    write_status("r", fatal[i].status, "", fatal[i].body);
    judged_ask(judge, &j, "reply-r", "7");
    assert_fails(fv_judge_collect(judge), FV_ERR_ARGUMENT, fatal[i].part);
    assert_null(strstr(fv_error_text(), "hush"));
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_fatal(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        check_fatal(i);
}

/* Servers that refuse a part of a request, until it is gone. n_learnt: lines of the log. */
static const struct {
    const char *refuse, *status_body;
    int n_learnt;
} forms[] = {
    {"\"temperature\"",
     "400 {\"error\":{\"message\":\"Unsupported value: 'temperature' does not support 0.0 with this model. "
     "Only the "
     "default (1) value is supported.\",\"param\":\"temperature\",\"code\":\"unsupported_value\"}}",
     1},
    {"\"max_tokens\"",
     "400 {\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not supported with this model. "
     "Use "
     "'max_completion_tokens' instead.\",\"param\":\"max_tokens\",\"code\":\"unsupported_parameter\"}}",
     1},
    {"\"temperature\"",
     "400 {\"error\":{\"message\":\"litellm.UnsupportedParamsError: openai does not support parameters: "
     "['temperature'], for model=o3. Supported: max_tokens\"}}",
     1},
    {"\"temperature\"", "500 {\"error\":{\"message\":\"UnsupportedParamsError: temperature\"}}", 1},
    {"_tokens\"",
     "422 {\"detail\":[{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"max_tokens\"],\"msg\":\"Extra "
     "inputs are not "
     "permitted\"},{\"type\":\"extra_forbidden\",\"loc\":[\"body\",\"max_completion_tokens\"],\"msg\":"
     "\"Extra inputs are "
     "not permitted\"}]}",
     2},
    {"\"temperature\"", "400 invalid temperature: only 1 is allowed for this model", 1},
    {"\"system\"",
     "400 {\"error\":{\"message\":\"Unsupported value: 'messages[0].role' does not support 'system' with "
     "this model.\"}}",
     1},
    {"\"temperature\"",
     "200 {\"error\":{\"code\":400,\"message\":\"`temperature` is deprecated for this model.\"}}", 1},
};

static void check_form(size_t i)
{
    enum { N = 12 };
    char name[32], refuse[64], log[32];
    const char *const arguments[] = {"--replies", temp_path("replies"), "--refuse", refuse, NULL};
    judge_server server;
    judged j[N];
    snprintf(name, sizeof name, "form%zu", i);
    snprintf(log, sizeof log, "form%zu.log", i);
    snprintf(refuse, sizeof refuse, "%s=no", forms[i].refuse);
    write_status("no", atoi(forms[i].status_body), "", forms[i].status_body + 4);
    assert_ok(fv_log_keep(temp_path(log)));
    server_start(&server, name, NULL, arguments);
    fv_judge_api_settings settings = settings_of(&server);
    settings.tries = 1; /* what is learnt is no try */
    fv_judge *judge = create(&settings);
    for (int k = 0; k < N; k++)
        judged_ask(judge, &j[k], "say-right", "7");
    assert_ok(fv_judge_collect(judge));
    for (int k = 0; k < N; k++)
        assert_string_equal(judged_outcome(&j[k]), "right");
    assert_int_equal(log_count(log, "from now on "), forms[i].n_learnt);
    assert_int_equal(log_count(log, " warning"), 0);
    assert_in_range(server_requests(&server, NULL), N + 1, N + 4 * forms[i].n_learnt);
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_learning(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_form(i);
}

/* A server that refuses what cannot be left out is not asked for ever, nor one that refuses without end. */
static void test_nothing_to_learn(void **state)
{
    (void)state;
    const char *const arguments[] = {"--replies", temp_path("replies"), "--refuse", "\"messages\"=no", NULL};
    judge_server server;
    write_status("no", 400, "",
                 "{\"error\":{\"message\":\"Unsupported: temperature, max_tokens, system message, all.\"}}");
    server_start(&server, "nothing", NULL, arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    fv_judge *judge = create(&settings);
    assert_string_equal(outcome_of(judge, "say-right"), "rejected");
    assert_in_range(server_requests(&server, NULL), 2, 5);
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void test_kinds_are_told_once(void **state)
{
    (void)state;
    const char *const arguments[] = {"--replies", temp_path("replies"), NULL};
    judge_server server;
    assert_ok(fv_log_keep(temp_path("kinds.log")));
    server_start(&server, "kinds", NULL, arguments);
    const fv_judge_api_settings settings = settings_of(&server);
    fv_judge *judge = create(&settings);
    for (int i = 0; i < 3; i++) {
        write_status("r", 400, "",
                     "{\"error\":{\"message\":\"Too long by " KEY
                     "\x1b[31m\\nfar. Really.\",\"code\":\"a\"}}");
        assert_string_equal(outcome_of(judge, "reply-r"), "rejected");
        write_status("r", 400, "", "{\"error\":{\"message\":\"Too odd.\",\"code\":\"b\"}}");
        assert_string_equal(outcome_of(judge, "reply-r"), "rejected");
        write_status("r", 400, "", "{\"error\":{\"message\":\"No.\",\"code\":\"content_filter\"}}");
        assert_string_equal(outcome_of(judge, "reply-r"), "refused");
        assert_string_equal(outcome_of(judge, "say-refuse"), "refused");
    }
    assert_int_equal(log_count("kinds.log", "(rejected, status 400): Too long by [key]"), 1);
    assert_int_equal(log_count("kinds.log", "(rejected, status 400): Too odd; "), 1);
    assert_int_equal(log_count("kinds.log", "(refused, status 400): No; "), 1);
    assert_int_equal(log_count("kinds.log", "(refused, status 200): I will not; "), 1);
    assert_int_equal(log_count("kinds.log", "warning"), 4);
    fv_judge_destroy(judge);
    server_stop(&server);
}

/* Headers and the environment. */

static void refuse(const fv_judge_api_settings *settings, const char *part)
{
    fv_judge *judge;
    fv_judge_prompt *prompt;
    assert_ok(fv_judge_prompt_load(temp_path("p.yaml"), &prompt));
    assert_fails(fv_judge_api_create(settings, prompt, &judge), FV_ERR_ARGUMENT, part);
    assert_null(strstr(fv_error_text(), "hush"));
}

static void check_heads(const char *name, const char *const *required,
                        void (*change)(fv_judge_api_settings *))
{
    const char *arguments[16];
    judge_server server;
    int n = 0;
    for (; *required; required++) {
        arguments[n++] = "--require";
        arguments[n++] = *required;
    }
    arguments[n] = NULL;
    server_start(&server, name, NULL, arguments);
    fv_judge_api_settings settings = settings_of(&server);
    change(&settings);
    fv_judge *judge = create(&settings);
    assert_string_equal(outcome_of(judge, "say-right"), "right");
    fv_judge_destroy(judge);
    server_stop(&server);
}

static void with_headers(fv_judge_api_settings *s)
{
    s->headers = "OpenAI-Organization: org-1; X-List: a;b; c ;X-Gate: Token ${GATE_KEY};";
}

static void with_own_right(fv_judge_api_settings *s)
{
    s->headers = "authorization: Bearer $GATE_KEY;user-agent: mine/1";
}

static void with_base_of_environment(fv_judge_api_settings *s)
{
    char base[96];
    snprintf(base, sizeof base, "%s//", s->url);
    setenv("OPENAI_BASE_URL", base, 1);
    s->url = "";
}

static void with_azure(fv_judge_api_settings *s)
{
    s->service = FV_API_AZURE;
    s->model = "my model/v1?x=\xC3\xA9";
}

static void test_headers(void **state)
{
    (void)state;
    static const char *const some[] = {"\r\nOpenAI-Organization: org-1\r\n",
                                       "\r\nX-List: a;b; c \r\n",
                                       "\r\nX-Gate: Token hush-gate\r\n",
                                       "\r\nAuthorization: Bearer " KEY "\r\n",
                                       "\r\nUser-Agent: fovea/" FOVEA_VERSION "\r\n",
                                       NULL};
    static const char *const own[] = {"\r\nauthorization: Bearer hush-gate\r\n", "\r\nuser-agent: mine/1\r\n",
                                      NULL};
    fv_judge_api_settings settings = settings_of(&(judge_server){.url = "http://127.0.0.1:1/v1"});
    setenv("GATE_KEY", "hush-gate", 1);
    check_heads("some", some, with_headers);
    check_heads("own", own, with_own_right);
    settings.headers = "X-Api-Key: hush";
    refuse(&settings, "put it into the environment and write X-Api-Key: $NAME");
    settings.headers = "X: sk-hush";
    refuse(&settings, "may be a key");
    settings.headers = "X: $NOT_THERE";
    refuse(&settings, "$NOT_THERE, which is not set");
    settings.headers = "hush";
    refuse(&settings, "expected \"Name: value; Name: value\"");
    settings.headers = "Content-length: 1";
    refuse(&settings, "the request's own");
    settings.headers = "X: $GATE_KEY";
    settings.url = "http://192.0.2.1/v1";
    refuse(&settings, "judge.headers holds what may be a key");
    setenv("GATE_KEY", "hush\r\nX: 1", 1);
    settings.url = "https://127.0.0.1:1/v1";
    refuse(&settings, "holds a control character");
}

static void test_environment(void **state)
{
    (void)state;
    static const char *const base[] = {"POST /v1/chat/completions HTTP", "Authorization: Bearer " KEY, NULL};
    static const char *const azure[] = {
        "POST /v1/openai/deployments/my%20model%2Fv1%3Fx%3D%C3%A9/chat/completions?api-version=2024-06-01 "
        "HTTP",
        "\r\napi-key: hush-azure\r\n", NULL};
    check_heads("base", base, with_base_of_environment);
    unsetenv("OPENAI_BASE_URL");
    setenv("AZURE_OPENAI_API_KEY", "hush-azure \n", 1);
    setenv("AZURE_API_KEY", "", 1); /* as none */
    setenv("OPENAI_API_VERSION", "2024-06-01", 1);
    check_heads("theirs", azure, with_azure);
    setenv("AZURE_API_KEY", "hush-azure", 1);
    setenv("AZURE_OPENAI_API_KEY", "hush-other", 1);
    setenv("AZURE_API_VERSION", "2024-06-01", 1);
    setenv("OPENAI_API_VERSION", "1", 1);
    check_heads("ours", azure, with_azure);
    fv_judge_api_settings settings = settings_of(&(judge_server){0});
    settings.service = FV_API_AZURE;
    setenv("AZURE_OPENAI_ENDPOINT", "ftp://theirs/", 1);
    refuse(&settings, "ftp://theirs/openai/deployments/m");
    setenv("AZURE_ENDPOINT", "ftp://ours", 1);
    refuse(&settings, "ftp://ours/openai/deployments/m");
    settings.url = "ftp://settings";
    refuse(&settings, "ftp://settings/openai/deployments/m");
}

static const char *judged_over_tls(const char *ca_file, const char *name)
{
    judge_server server;
    judged j;
    server_start(&server, name, "good", NULL);
    fv_judge_api_settings settings = settings_of(&server);
    settings.ca_file = ca_file;
    fv_judge *judge = create(&settings);
    judged_ask(judge, &j, "say-right", "7");
    const char *outcome = "right";
    if (fv_judge_collect(judge) == FV_OK)
        assert_string_equal(judged_outcome(&j), "right");
    else
        outcome = strstr(fv_error_text(), "cannot be trusted") ? "untrusted" : fv_error_text();
    fv_judge_destroy(judge);
    server_stop(&server);
    return outcome;
}

static void test_trust(void **state)
{
    (void)state;
    char command[512], folder[128], ca[128];
    server_certificates();
    snprintf(folder, sizeof folder, "%s", temp_folder("trust"));
    snprintf(ca, sizeof ca, "%s", temp_path("tls/ca.pem"));
    snprintf(command, sizeof command, "cp %s %s && openssl rehash %s", ca, folder, folder);
    assert_int_equal(system(command), 0);
    assert_string_equal(judged_over_tls("", "nobody"), "untrusted");
    setenv("SSL_CERT_DIR", folder, 1);
    assert_string_equal(judged_over_tls("", "folder"), "right");
    unsetenv("SSL_CERT_DIR");
    setenv("SSL_CERT_FILE", ca, 1);
    assert_string_equal(judged_over_tls("", "file"), "right");
    setenv("CURL_CA_BUNDLE", temp_path("tls/stranger.pem"), 1); /* comes first */
    assert_string_equal(judged_over_tls("", "bundle"), "untrusted");
    assert_string_equal(judged_over_tls(ca, "settings"), "right");
    unsetenv("CURL_CA_BUNDLE");
    unsetenv("SSL_CERT_FILE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_usable),
                                       cmocka_unit_test(test_refusals_of_a_case),
                                       cmocka_unit_test(test_fatal),
                                       cmocka_unit_test(test_learning),
                                       cmocka_unit_test(test_nothing_to_learn),
                                       cmocka_unit_test(test_kinds_are_told_once),
                                       cmocka_unit_test(test_headers),
                                       cmocka_unit_test(test_environment),
                                       cmocka_unit_test(test_trust)};
    return cmocka_run_group_tests(tests, setup, temp_teardown);
}
