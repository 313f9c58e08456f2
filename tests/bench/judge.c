/* The API judge over TLS against a server on this machine that takes 50 ms for a verdict: verdicts a second
 * beside the ideal of so many requests in flight, and what a step waits for the judge if it is polled beside
 * the rollout, or only after it. The memory is this process's. Then the same with faults: 5 % of the requests
 * fail in one of six ways, and the server goes away for 20 s.
 *
 * usage: bench_judge */
#include "bench.h"
#include "fovea/reward/judge/judge_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { N = 8192, IN_FLIGHT = 100, LATENCY_MS = 50, N_PASSES = 400, PASS_MS = 20, ROUNDS = 3 };

static char folder[] = "/tmp/fovea_bench_XXXXXX", url[64], ca_file[64];
static int64_t n_given, n_none, n_false;

/* context: NULL if the server is told to say that the answer is wrong. */
static fv_err take(void *context, fv_verdict verdict)
{
    n_given++;
    n_none += !verdict.has_verdict;
    n_false += verdict.has_verdict && (verdict.score == 1) != (context != NULL);
    return FV_OK;
}

static fv_err ask(fv_judge *judge, int i, char (*answers)[32])
{
    int is_right = i % 3 == 0;
    snprintf(answers[i], sizeof answers[i], "It is %d: say-%s", i, is_right ? "right" : "wrong");
    const fv_case asked = {fv_slice_of("How many apples are in the basket?"), fv_slice_of(answers[i]),
                           fv_slice_of("1234")};
    return fv_judge_ask(judge, &asked, (fv_waiter){take, is_right ? answers[i] : NULL});
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* Answers that come with the passes of a rollout, whose computing is a pause here; *waited: after the last.
 */
static fv_err step(fv_judge *judge, char (*answers)[32], int n_passes, int polls, double *waited)
{
    for (int pass = 0, i = 0; pass < n_passes; pass++) {
        pause_ms(n_passes > 1 ? PASS_MS : 0);
        for (; i < (int)((int64_t)N * (pass + 1) / n_passes); i++)
            FV_TRY(ask(judge, i, answers));
        if (polls)
            FV_TRY(fv_judge_poll(judge, 0));
    }
    double from = bench_now();
    FV_TRY(fv_judge_collect(judge));
    *waited = bench_now() - from;
    FV_CHECK(n_given == N && n_none == 0 && n_false == 0, FV_ERR_INTERNAL,
             "%lld of %d verdicts, %lld of them none and %lld not what the server said", (long long)n_given,
             N, (long long)n_none, (long long)n_false);
    return FV_OK;
}

/* With a new judge: connections are made anew. */
static fv_err measure(int n_passes, int polls, double *waited)
{
    const fv_judge_api_settings settings = {.url = url,
                                            .model = "judge",
                                            .key_file = "",
                                            .ca_file = ca_file,
                                            .in_flight = IN_FLIGHT,
                                            .deadline_s = 2,
                                            .tries = 10,
                                            .budget_s = 60};
    fv_judge_prompt *prompt;
    fv_judge *judge;
    char(*answers)[32] = malloc(N * sizeof *answers);
    FV_CHECK(answers, FV_ERR_MEMORY, "no memory for %d answers", N);
    n_given = n_none = n_false = 0;
    fv_err err = fv_judge_prompt_load(BENCH_SOURCES "/configs/prompts/judge.yaml", &prompt);
    if (err == FV_OK)
        err = fv_judge_api_create(&settings, prompt, &judge);
    if (err == FV_OK) {
        err = step(judge, answers, n_passes, polls, waited);
        fv_judge_destroy(judge);
    }
    free(answers);
    return err;
}

static double peak_megabytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024 : 0;
}

static fv_err report(void)
{
    double times[ROUNDS], beside, after, rollout = 1e-3 * N_PASSES * PASS_MS,
                                         ideal = 1e-3 * LATENCY_MS * N / IN_FLIGHT;
    for (int i = 0; i < ROUNDS; i++)
        FV_TRY(measure(1, 0, &times[i]));
    double median = bench_median(times, ROUNDS);
    printf("%d verdicts, %d in flight, %d ms each: %.2f s (median of %d), %.0f a second, %.2f of the ideal "
           "time; "
           "%.0f MB at most\n",
           N, IN_FLIGHT, LATENCY_MS, median, ROUNDS, N / median, median / ideal, peak_megabytes());
    FV_TRY(measure(N_PASSES, 1, &beside));
    FV_TRY(measure(N_PASSES, 0, &after));
    printf("after a rollout of %d passes of %d ms: %.2f s (%.1f %% of both) if polled after each pass, %.2f "
           "s (%.1f %%) "
           "if only then\n",
           N_PASSES, PASS_MS, beside, 100 * beside / (rollout + beside), after,
           100 * after / (rollout + after));
    return FV_OK;
}

static int make_certificates(void)
{
    char command[1024];
    snprintf(command, sizeof command, "bash " BENCH_SOURCES "/tests/server/certificates.sh %s", folder);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    return system(command) == 0;
}

/* url becomes its own. It ends when its input does. */
static FILE *start_server(const char *options)
{
    char command[1024], path[64], port[16] = "";
    snprintf(path, sizeof path, "%s/port", folder);
    unlink(path);
    snprintf(command, sizeof command,
             "exec " BENCH_JUDGE_SERVER " %s --cert %s/good.pem --key %s/key.pem --latency %d %s >%s", folder,
             folder, folder, LATENCY_MS, options, path);
    FILE *server = popen(command, "w");
    for (int i = 0; server && i < 500 && !port[0]; i++, pause_ms(10)) {
        FILE *file = fopen(path, "r");
        if (file && (!fgets(port, sizeof port, file) || !strchr(port, '\n')))
            port[0] = '\0';
        if (file)
            fclose(file);
    }
    port[strcspn(port, "\n")] = '\0';
    snprintf(url, sizeof url, "https://127.0.0.1:%s/v1", port);
    return server;
}

static fv_err report_faults(void)
{
    double seconds;
    FV_TRY(measure(1, 0, &seconds));
    printf("with 5 %% faults, and the server away for 20 s: %.2f s, every verdict as the server says\n",
           seconds);
    return FV_OK;
}

static fv_err run(const char *options, fv_err (*of)(void))
{
    FILE *server = start_server(options);
    FV_CHECK(server, FV_ERR_IO, "the server cannot be started");
    fv_err err = of();
    pclose(server);
    return err;
}

int main(void)
{
    char command[64];
    setenv("OPENAI_API_KEY", "none", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    fv_err err = mkdtemp(folder) && make_certificates() ? FV_OK : FV_FAIL(FV_ERR_IO, "no certificates");
    if (err == FV_OK)
        err = run("", report);
    if (err == FV_OK)
        err = run("--plan busy:0.9,500:0.9,stall:0.8,half:0.8,garbage:0.8,html:0.8 --away-after 4000 "
                  "--away-for 20000",
                  report_faults);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    return err != FV_OK;
}
