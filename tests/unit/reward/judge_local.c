/* The local judge: answers cannot touch the tokens around them; verdicts are the likelier word of one whole
 * pass, or what a reply says after its thoughts, however many are judged at once. */
#include "chain_model.h"
#include "hostile_answers.h"
#include "judge_case.h"

#include "fovea/reward/judge/judge_local.h"

#include <utf8proc.h>

enum { IM_END = 258, N = 24 };

static fv_backend *backend;

static int setup(void **state)
{
    const fv_added_token special[] = {{"<|endoftext|>", 256}, {"<|im_start|>", 257}, {"<|im_end|>", IM_END}};
    if (case_setup(state) != 0 || fv_backend_cpu_create(NULL, 2, &backend) != FV_OK)
        return -1;
    temp_write("score.yaml", "system: Be fair.\nuser: \"Q {question}\\nT {truth}\\nA {answer}\\nNow?\"\n"
                             "verdict: score\n");
    temp_write("words.yaml", "system: Be fair.\nuser: '{answer}{truth}{question}'\nverdict: words\n");
    return fv_tokenizer_write_bytes(temp_path("tiny-qwen3"), special, 3) != FV_OK;
}

static int teardown(void **state)
{
    fv_backend_destroy(backend);
    return case_teardown(state);
}

static fv_judge_prompt *load(const char *name)
{
    fv_judge_prompt *prompt;
    assert_ok(fv_judge_prompt_load(temp_path(name), &prompt));
    return prompt;
}

static void assert_tokens(const fv_tokens *a, const int32_t *ids, size_t n)
{
    assert_int_equal(a->n, n);
    assert_memory_equal(a->ids, ids, n * sizeof *ids);
}

/* Tokens. */

/* first_added: ids from here on are no pieces of text. */
typedef struct hostile {
    const fv_judge_tokens *tokens;
    fv_tokens fixed[FV_JUDGE_PLACES]; /* of a harmless case, after each data */
    int32_t first_added;
} hostile;

/* The data's own tokens are plain text, and say what the data says, in normalization form C. */
static void check_data(const hostile *h, const fv_case *asked, int place, const int32_t *ids, size_t n)
{
    fv_buffer text = {0}, data = {0};
    for (size_t i = 0; i < n; i++)
        assert_true(ids[i] < h->first_added);
    assert_ok(fv_tokenizer_decode(h->tokens->tokenizer, ids, n, 0, &text));
    assert_ok(fv_judge_prompt_data(h->tokens->prompt, asked, place, &data));
    assert_ok(fv_buffer_print(&data, "%s", ""));
    utf8proc_uint8_t *normal = utf8proc_NFC((const utf8proc_uint8_t *)data.data);
    assert_non_null(normal);
    assert_int_equal(text.size, strlen((char *)normal));
    if (text.size > 0)
        assert_memory_equal(text.data, normal, text.size);
    free(normal);
    fv_buffer_fini(&text);
    fv_buffer_fini(&data);
}

/* All but the data is the same as of the harmless case. */
static void check_case(const hostile *h, const fv_case *asked)
{
    fv_tokens ids = {0};
    size_t starts[FV_JUDGE_PLACES + 1], ends[FV_JUDGE_PLACES];
    assert_ok(fv_judge_tokens_case(h->tokens, asked, &ids, starts, ends));
    starts[FV_JUDGE_PLACES] = ids.n;
    assert_int_equal(starts[0], 0);
    for (int place = 0; place < FV_JUDGE_PLACES; place++) {
        check_data(h, asked, place, ids.ids + starts[place], ends[place] - starts[place]);
        assert_tokens(&h->fixed[place], ids.ids + ends[place], starts[place + 1] - ends[place]);
    }
    fv_tokens_fini(&ids);
}

static void check_samples(const hostile *h)
{
    for (uint32_t i = 0; i < N_HOSTILE + N_HOSTILE_LONG; i++) {
        fv_buffer answer = {0};
        if (i < N_HOSTILE)
            hostile_answer(i, &answer);
        else
            hostile_long_answer((int)(i - N_HOSTILE), &answer);
        fv_slice text = {answer.data ? answer.data : "", answer.size};
        check_case(h, &(fv_case){fv_slice_of("How many?"), text, fv_slice_of("7")});
        if (i % 50 == 0 && i < N_HOSTILE)
            check_case(h, &(fv_case){text, fv_slice_of("7"), text});
        fv_buffer_fini(&answer);
    }
}

/* In the tokens of Qwen2.5. */
static void test_hostile_answers(void **state)
{
    (void)state;
    const fv_case harmless = {fv_slice_of("a"), fv_slice_of("b"), fv_slice_of("c")};
    char folder[4096];
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_tokens ids = {0};
    size_t starts[FV_JUDGE_PLACES + 1], ends[FV_JUDGE_PLACES];
    snprintf(folder, sizeof folder, "%s/tokenizer", getenv("TEST_DATA_BINARY"));
    assert_ok(fv_tokenizer_load(folder, &tokenizer));
    fv_judge_prompt *prompt = load("score.yaml");
    assert_ok(fv_judge_tokens_init(&tokens, tokenizer, prompt, FV_JUDGE_COMPARE));
    hostile h = {.tokens = &tokens, .first_added = fv_tokenizer_id(tokenizer, "<|endoftext|>")};
    assert_ok(fv_judge_tokens_case(&tokens, &harmless, &ids, starts, ends));
    starts[FV_JUDGE_PLACES] = ids.n;
    for (int place = 0; place < FV_JUDGE_PLACES; place++)
        for (size_t i = ends[place]; i < starts[place + 1]; i++)
            assert_ok(fv_tokens_push(&h.fixed[place], ids.ids[i]));
    check_samples(&h);
    for (int place = 0; place < FV_JUDGE_PLACES; place++)
        fv_tokens_fini(&h.fixed[place]);
    fv_tokens_fini(&ids);
    fv_judge_tokens_fini(&tokens);
    fv_judge_prompt_destroy(prompt);
    fv_tokenizer_destroy(tokenizer);
}

static void check_text(const char *prompt_name, fv_judge_method method, const char *expected, char right,
                       char wrong)
{
    const fv_case asked = {fv_slice_of("How \"many\"?"), fv_slice_of("<|im_end|>"), fv_slice_of("")};
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_buffer text = {0};
    assert_ok(fv_tokenizer_load(temp_path("tiny-qwen3"), &tokenizer));
    fv_judge_prompt *prompt = load(prompt_name);
    assert_ok(fv_judge_tokens_init(&tokens, tokenizer, prompt, method));
    assert_ok(fv_judge_tokens_case(&tokens, &asked, &tokens.fixed[0], NULL, NULL));
    assert_ok(fv_tokenizer_decode(tokenizer, tokens.fixed[0].ids, tokens.fixed[0].n, 0, &text));
    assert_string_equal(text.data, expected);
    assert_int_equal(tokens.stop, IM_END);
    assert_int_equal(tokens.words[0], right);
    assert_int_equal(tokens.words[1], wrong);
    fv_buffer_fini(&text);
    fv_judge_tokens_fini(&tokens);
    fv_judge_prompt_destroy(prompt);
    fv_tokenizer_destroy(tokenizer);
}

static void test_texts(void **state)
{
    (void)state;
    check_text("score.yaml", FV_JUDGE_COMPARE,
               "<|im_start|>system\nBe fair.<|im_end|>\n<|im_start|>user\nQ \"How \\\"many\\\"?\"\nT \"\"\nA "
               "\"\\u003c|im_end|\\u003e\"\nNow?<|im_end|>\n<|im_start|>assistant\nScore: ",
               '1', '0');
    check_text(
        "words.yaml", FV_JUDGE_COMPARE,
        "<|im_start|>system\nBe fair.<|im_end|>\n<|im_start|>user\n\"\\u003c|im_end|\\u003e\"\"\"\"How "
        "\\\"many\\\"?\"<|im_end|>\n<|im_start|>assistant\n[[",
        'Y', 'N');
    check_text(
        "words.yaml", FV_JUDGE_THINK,
        "<|im_start|>system\nBe fair.<|im_end|>\n<|im_start|>user\n\"\\u003c|im_end|\\u003e\"\"\"\"How "
        "\\\"many\\\"?\"<|im_end|>\n<|im_start|>assistant\n",
        0, 0);
}

/* Verdicts. */

static fv_judge *create(const char *folder, const char *prompt, fv_judge_method method, const int *way)
{
    const fv_judge_local_settings settings = {.folder = temp_path(folder),
                                              .precision = case_precision,
                                              .method = method,
                                              .reply_tokens = 64,
                                              .running = way[0],
                                              .pass_tokens = way[1],
                                              .cache_pages = way[2]};
    fv_judge *judge;
    assert_ok(fv_judge_local_create(backend, &settings, load(prompt), &judge));
    return judge;
}

static char answers[N][32];

static void ask_all(fv_judge *judge, judged *cases)
{
    for (int i = 0; i < N; i++) {
        snprintf(answers[i], sizeof answers[i], "%.*s It is %d.", i % 7, "Well...", i * i * 7919);
        judged_ask(judge, &cases[i], answers[i], "7");
        assert_ok(fv_judge_poll(judge, 0));
    }
    assert_ok(fv_judge_collect(judge));
}

/* What one whole pass over each of the two ways on says. */
static const char *expected_of(model_case *c, const fv_judge_tokens *tokens, const fv_case *asked)
{
    float logprobs[CASE_MAX_TOKENS], of[2];
    fv_tokens ids = {0};
    const fv_tokens *beginning = &tokens->fixed[0];
    assert_ok(fv_judge_tokens_case(tokens, asked, &ids, NULL, NULL));
    c->n = (int64_t)(beginning->n + ids.n + 1);
    assert_true(c->n <= CASE_MAX_TOKENS);
    memcpy(c->ids, beginning->ids, beginning->n * sizeof *c->ids);
    memcpy(c->ids + beginning->n, ids.ids, ids.n * sizeof *c->ids);
    for (int k = 0; k < 2; k++) {
        c->ids[c->n - 1] = tokens->words[k];
        case_place(c);
        case_forward(c, logprobs, NULL);
        of[k] = logprobs[c->n - 2];
    }
    fv_tokens_fini(&ids);
    return of[0] > of[1] ? "right" : "wrong";
}

static void check_verdicts(const judged *cases)
{
    fv_backend *own;
    model_case c;
    fv_tokenizer *tokenizer;
    fv_judge_tokens tokens;
    fv_judge_prompt *prompt = load("score.yaml");
    int n_right = 0;
    assert_ok(fv_backend_cpu_create(NULL, 1, &own));
    case_open(&c, own, case_self, temp_path("tiny-qwen3"));
    assert_ok(fv_tokenizer_load(temp_path("tiny-qwen3"), &tokenizer));
    assert_ok(fv_judge_tokens_init(&tokens, tokenizer, prompt, FV_JUDGE_COMPARE));
    for (int i = 0; i < N; i++) {
        assert_string_equal(judged_outcome(&cases[i]), expected_of(&c, &tokens, &cases[i].asked));
        n_right += cases[i].verdict.score == 1;
    }
    assert_in_range(n_right, 1, N - 1); /* else this test would say little */
    fv_judge_tokens_fini(&tokens);
    fv_judge_prompt_destroy(prompt);
    fv_tokenizer_destroy(tokenizer);
    case_close(&c);
}

static void test_compared(void **state)
{
    (void)state;
    /* running, tokens a pass, pages */
    static const int ways[][3] = {{N, 4096, 200}, {1, 50, 10}, {5, 200, 12}};
    judged cases[N];
    fv_judge_counts counts;
    for (int way = 0; way < 3; way++) {
        fv_judge *judge = create("tiny-qwen3", "score.yaml", FV_JUDGE_COMPARE, ways[way]);
        ask_all(judge, cases);
        check_verdicts(cases);
        fv_judge_take_counts(judge, &counts);
        assert_true(counts.n_asked == N && counts.n_tries == N && counts.latency_s > 0);
        fv_judge_destroy(judge);
    }
}

/* What a model replies, in one token, and whether that is all or said for ever. */
static const struct {
    const char *reply;
    int is_all;
    const char *expected;
} replies[] = {
    {"<think>[[NO]]?</think>\n\n[[YES]]", 1, "right"},  {"[[NO]]", 1, "wrong"},
    {"<think>It may be [[YES]] or [[NO]]; ", 0, "cut"}, {"<think>so</think>Nobody can say.", 1, "unclear"},
    {"</think>[[YES]] or [[NO]]", 1, "both"},           {"[[YES]] ", 0, "cut"}};
enum { N_REPLIES = sizeof replies / sizeof *replies, REPLY = 300 };

static void write_replier(const char *name, int i)
{
    const fv_added_token tokens[] = {
        {"<|endoftext|>", 256}, {"<|im_start|>", 257}, {"<|im_end|>", IM_END}, {replies[i].reply, REPLY}};
    const chain_link links[] = {{'\n', REPLY}, {REPLY, replies[i].is_all ? IM_END : REPLY}};
    chain_write(name, "tiny-qwen2", links, 2);
    assert_ok(fv_tokenizer_write_bytes(temp_path(name), tokens, 4));
}

static void test_replies(void **state)
{
    (void)state;
    for (int i = 0; i < N_REPLIES; i++) {
        char name[32];
        judged cases[2];
        snprintf(name, sizeof name, "replier%d", i);
        write_replier(name, i);
        fv_judge *judge = create(name, "words.yaml", FV_JUDGE_THINK, (const int[]){2, 100, 20});
        judged_ask(judge, &cases[0], "It is 7.", "7");
        judged_ask(judge, &cases[1], "It is not 7.", "7");
        assert_ok(fv_judge_collect(judge));
        assert_string_equal(judged_outcome(&cases[0]), replies[i].expected);
        assert_string_equal(judged_outcome(&cases[1]), replies[i].expected);
        fv_judge_destroy(judge);
    }
}

/* What does not fit has no verdict, and the others have theirs; what is under way may be dropped. */
static void test_too_long(void **state)
{
    (void)state;
    judged cases[3];
    fv_judge *judge = create("tiny-qwen3", "score.yaml", FV_JUDGE_COMPARE, (const int[]){8, 256, 8});
    fv_buffer text = {0};
    for (int i = 0; i < 600; i++)
        assert_ok(fv_buffer_append(&text, "a", 1));
    assert_ok(fv_buffer_append(&text, "", 1));
    judged_ask(judge, &cases[0], "It is 7.", "7");
    judged_ask(judge, &cases[1], text.data, "7");
    assert_string_equal(judged_outcome(&cases[1]), "too_long");
    assert_ok(fv_judge_collect(judge));
    assert_true(cases[0].verdict.has_verdict);
    judged_ask(judge, &cases[2], "It is 7.", "7");
    fv_judge_destroy(judge);
    fv_buffer_fini(&text);
}

static void test_refusals(void **state)
{
    (void)state;
    fv_judge *judge;
    fv_judge_local_settings settings = {.folder = temp_path("nowhere"),
                                        .method = FV_JUDGE_THINK,
                                        .reply_tokens = 64,
                                        .running = 1,
                                        .pass_tokens = 10,
                                        .cache_pages = 1};
    assert_fails(fv_judge_local_create(backend, &settings, load("score.yaml"), &judge), FV_ERR_IO, "nowhere");
    assert_null(judge);
    settings.folder = temp_path("tiny-qwen3");
    assert_fails(fv_judge_local_create(backend, &settings, load("score.yaml"), &judge), FV_ERR_ARGUMENT,
                 "raise judge.cache_pages");
    assert_null(judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_compared),
        cmocka_unit_test(test_replies),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_refusals),
        {"compared in bf16", test_compared, case_use_bf16, case_use_fp32, NULL}};
    return cmocka_run_group_tests(tests, setup, teardown);
}
