/* The API judge over TLS against a server on this machine that takes 50 ms for a verdict: verdicts a second
 * beside the ideal of so many requests in flight, and what a step waits for the judge if it is polled beside
 * the rollout, or only after it. The memory is this process's.
 *
 * usage: bench_judge */
#include "bench.h"
#include "fovea/judge_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { N = 8192, IN_FLIGHT = 100, LATENCY_MS = 50, N_PASSES = 400, PASS_MS = 20, ROUNDS = 3 };

static char folder[] = "/tmp/fovea_bench_XXXXXX", url[64], ca_file[64];
static int64_t n_given, n_none;

static fv_err take(void *context, fv_verdict verdict)
{
    (void)context;
    n_given++;
    n_none += !verdict.has_verdict;
    return FV_OK;
}

static fv_err ask(fv_judge *judge, int i, char (*answers)[32])
{
    snprintf(answers[i], sizeof answers[i], "It is %d.", i);
    const fv_case asked = {fv_slice_of("How many apples are in the basket?"), fv_slice_of(answers[i]),
                           fv_slice_of("1234")};
    return fv_judge_ask(judge, &asked, (fv_waiter){take, NULL});
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
    FV_CHECK(n_given == N && n_none == 0, FV_ERR_INTERNAL, "%lld of %d verdicts, %lld of them none",
             (long long)n_given, N, (long long)n_none);
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
                                            .deadline_s = 10,
                                            .tries = 3,
                                            .budget_s = 60};
    fv_judge_prompt *prompt;
    fv_judge *judge;
    char(*answers)[32] = malloc(N * sizeof *answers);
    FV_CHECK(answers, FV_ERR_MEMORY, "no memory for %d answers", N);
    n_given = n_none = 0;
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

/* The server ends when its input does. */
static FILE *start_server(void)
{
    char command[1024], path[64], port[16] = "";
    snprintf(command, sizeof command, "bash " BENCH_SOURCES "/tests/server/certificates.sh %s", folder);
    if (system(command) != 0)
        return NULL;
    snprintf(command, sizeof command,
             "exec " BENCH_JUDGE_SERVER " %s --cert %s/good.pem --key %s/key.pem --latency %d", folder,
             folder, folder, LATENCY_MS);
    FILE *server = popen(command, "w");
    snprintf(path, sizeof path, "%s/port", folder);
    for (int i = 0; server && i < 500 && !port[0]; i++, pause_ms(10)) {
        FILE *file = fopen(path, "r");
        if (file && !fgets(port, sizeof port, file))
            port[0] = '\0';
        if (file)
            fclose(file);
    }
    port[strcspn(port, "\n")] = '\0';
    snprintf(url, sizeof url, "https://127.0.0.1:%s/v1", port);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", folder);
    return server;
}

int main(void)
{
    char command[64];
    setenv("OPENAI_API_KEY", "none", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    FILE *server = mkdtemp(folder) ? start_server() : NULL;
    fv_err err = server ? report() : FV_FAIL(FV_ERR_IO, "the server cannot be started");
    if (server)
        pclose(server);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", folder);
    if (err != FV_OK)
        fprintf(stderr, "%s\n", fv_error_text());
    return err != FV_OK;
}
