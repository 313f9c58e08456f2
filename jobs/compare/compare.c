/* fovea compare: two evaluations of the same data, row by row. */
#include "jobs/jobs.h"
#include "jobs/option.h"
#include "jobs/terminal.h"

#include "fovea/base/file.h"
#include "fovea/eval/paired.h"

#include <math.h>

typedef struct compare_options {
    const char *folders[2], *changed;
    int is_json;
} compare_options;

enum { KEY_CHANGED = 256, KEY_JSON };

static const struct argp_option options[] = {
    {"changed", KEY_CHANGED, "FILE", 0,
     "receives a JSON line a row whose answer is right in one of the two alone, with both", 1},
    {"json", KEY_JSON, 0, 0, "print JSON, not a table", 1},
    {0}};

#define AT(member) offsetof(compare_options, member)
static const fv_option table[] = {
    {KEY_CHANGED, FV_OPTION_PATH, AT(changed)}, {KEY_JSON, FV_OPTION_FLAG, AT(is_json)}, {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    compare_options *o = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num >= 2)
            argp_error(state, "unexpected argument \"%s\": give two folders of fovea eval", text);
        o->folders[state->arg_num] = fv_parse_path(state, "a folder", text);
        return 0;
    case ARGP_KEY_END:
        if (!o->folders[1])
            argp_error(state, "give two folders of fovea eval");
        return 0;
    default:
        return fv_option_set(table, options, key, text, state, o);
    }
}

/* What is compared beside the score. */
static const struct {
    const char *name;
    double (*of)(const fv_tally *);
} costs[] = {{"call rate", fv_tally_call_rate},
             {"visual", fv_tally_visual_share},
             {"response", fv_tally_response_tokens}};
enum { N_COSTS = sizeof costs / sizeof costs[0] };

typedef struct comparison {
    const fv_report *reports[2];
    fv_summary summaries[2];
    fv_paired paired;
} comparison;

static fv_err print_value(double value, int digits, fv_buffer *out)
{
    return isnan(value) ? fv_buffer_print(out, " %12s", "-") : fv_buffer_print(out, " %12.*f", digits, value);
}

static fv_err print_line(const char *name, const double values[2], int digits, fv_buffer *out)
{
    FV_TRY(fv_buffer_print(out, "%-12s", name));
    FV_TRY(print_value(values[0], digits, out));
    FV_TRY(print_value(values[1], digits, out));
    return print_value(values[1] - values[0], digits, out);
}

static fv_err print_table(const comparison *c, fv_buffer *out)
{
    const fv_paired *p = &c->paired;
    const double scores[] = {p->results[0].items[0].value, p->results[1].items[0].value};
    FV_TRY(fv_buffer_print(out, "%-12s %12s %12s %12s\n", "", "first", "second", "difference"));
    FV_TRY(print_line(p->results[0].items[0].name, scores, 4, out));
    if (!isnan(p->low))
        FV_TRY(fv_buffer_print(out, "  %.4f to %.4f", p->low, p->high));
    for (int i = 0; i < N_COSTS; i++) {
        const double values[] = {costs[i].of(&c->summaries[0].all), costs[i].of(&c->summaries[1].all)};
        FV_TRY(fv_buffer_append(out, "\n", 1));
        FV_TRY(print_line(costs[i].name, values, i == N_COSTS - 1 ? 1 : 4, out));
    }
    FV_TRY(fv_buffer_print(out, "\nthe second as a share of the first:"));
    FV_TRY(print_value(scores[0] > 0 ? scores[1] / scores[0] : (double)NAN, 4, out));
    FV_TRY(fv_buffer_print(
        out,
        "\nright in both %lld, in the first alone %lld, in the second alone %lld, in neither "
        "%lld; p = %.4g (McNemar)\n",
        (long long)p->both, (long long)p->first, (long long)p->second, (long long)p->neither, p->p));
    return fv_paired_print_settings(c->reports, out);
}

static fv_json *make_pair(double first, double second)
{
    fv_json *list = fv_json_make_array();
    const double both[] = {first, second};
    for (int s = 0; s < 2; s++)
        if (fv_json_append(list, isnan(both[s]) ? fv_json_make_null() : fv_json_make_real(both[s])) !=
            FV_OK) {
            fv_json_destroy(list);
            return NULL;
        }
    return list;
}

static fv_err set_members(const comparison *c, fv_json *object)
{
    const fv_paired *p = &c->paired;
    const struct {
        const char *key;
        int64_t n;
    } counts[] = {{"both", p->both}, {"first", p->first}, {"second", p->second}, {"neither", p->neither}};
    for (size_t i = 0; i < p->results[0].n && i < p->results[1].n; i++)
        FV_TRY(fv_json_set(object, p->results[0].items[i].name,
                           make_pair(p->results[0].items[i].value, p->results[1].items[i].value)));
    for (int i = 0; i < N_COSTS; i++)
        FV_TRY(fv_json_set(object, costs[i].name,
                           make_pair(costs[i].of(&c->summaries[0].all), costs[i].of(&c->summaries[1].all))));
    FV_TRY(fv_json_set(object, "interval", make_pair(p->low, p->high)));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        FV_TRY(fv_json_set(object, counts[i].key, fv_json_make_integer(counts[i].n)));
    return fv_json_set(object, "p", fv_json_make_real(p->p));
}

static fv_err print_json(const comparison *c, fv_buffer *out)
{
    fv_json *object = fv_json_make_object();
    fv_err err = set_members(c, object);
    if (err == FV_OK)
        err = fv_json_print(object, 2, out);
    fv_json_destroy(object);
    return err == FV_OK ? fv_buffer_append(out, "\n", 1) : err;
}

static fv_err tell(const comparison *c, const compare_options *o)
{
    fv_buffer text = {0}, changed = {0};
    fv_err err = FV_OK;
    if (o->changed) {
        FV_TRY_DONE(fv_paired_print_changed(c->reports, &changed));
        FV_TRY_DONE(fv_file_write(o->changed, changed.data, changed.size));
    }
    FV_TRY_DONE(o->is_json ? print_json(c, &text) : print_table(c, &text));
    fwrite(text.data, 1, text.size, stdout); /* main sees whether it was written */
done:
    fv_buffer_fini(&text);
    fv_buffer_fini(&changed);
    return err;
}

static fv_err compare(const compare_options *o)
{
    fv_report reports[2] = {{0}};
    comparison c = {.reports = {&reports[0], &reports[1]}};
    fv_err err = FV_OK;
    for (int s = 0; s < 2; s++) {
        FV_TRY_DONE(fv_report_load(o->folders[s], &reports[s]));
        FV_TRY_DONE(fv_summary_init(&c.summaries[s], &reports[s]));
    }
    FV_TRY_DONE(fv_paired_init(&c.paired, c.reports, o->folders));
    FV_TRY_DONE(tell(&c, o));
done:
    fv_paired_fini(&c.paired);
    for (int s = 0; s < 2; s++) {
        fv_summary_fini(&c.summaries[s]);
        fv_report_fini(&reports[s]);
    }
    return err;
}

int fv_job_compare(int argc, char **argv)
{
    compare_options o = {.is_json = 0};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "FIRST SECOND",
        .doc =
            "Compare two evaluations of the same data by the same rules, of two checkpoints or of two modes: "
            "FIRST and SECOND are folders of fovea eval. The difference of the scores stands with the range "
            "that "
            "95 of 100 draws of the same answers give; p says how likely so unequal counts of answers that "
            "are "
            "right in one alone would be if the two were as good."};
    fv_terminal_parse(&argp, argc, argv, &o);
    return fv_job_finish(compare(&o));
}
