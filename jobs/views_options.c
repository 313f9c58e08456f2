#include "jobs/views_options.h"
#include "jobs/option.h"

enum { KEY_MIN_PIXELS = 0x101, KEY_MAX_PIXELS, KEY_TRANSPARENCY, KEY_FILTER, KEY_TOOL };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Images:", 0},
    {"min-pixels", KEY_MIN_PIXELS, "N", 0,
     "of the high-resolution view, at least, where a row does not say its size (262144)", 0},
    {"max-pixels", KEY_MAX_PIXELS, "N", 0, "the same, at most (4194304)", 0},
    {"transparency", KEY_TRANSPARENCY, "NAME", 0,
     "what is behind transparent pixels: white, or drop: the colour that is stored with them is shown "
     "(white)",
     0},
    {"filter", KEY_FILTER, "NAME", 0, "how an image becomes a view: bicubic or lanczos (bicubic)", 0},
    {"tool-view", KEY_TOOL, "NAME", 0,
     "what the tool shows: whole: the image within its bounds; twice: exactly twice the low-resolution view "
     "on each "
     "side (whole)",
     0},
    {0}};

#define AT(member) offsetof(fv_view_settings, member)
static const char *const alpha_names[] = {"white", "drop", NULL};
static const fv_option table[] = {
    {KEY_MIN_PIXELS, FV_OPTION_INTEGER, AT(min_pixels), .low = 1, .high = INT32_MAX},
    {KEY_MAX_PIXELS, FV_OPTION_INTEGER, AT(max_pixels), .low = 1, .high = INT32_MAX},
    {KEY_TRANSPARENCY, FV_OPTION_CHOICE, AT(transparency), .names = alpha_names},
    {KEY_FILTER, FV_OPTION_CHOICE, AT(filter), .names = fv_view_filter_names},
    {KEY_TOOL, FV_OPTION_CHOICE, AT(tool), .names = fv_tool_view_names},
    {0}};

static error_t parse(int key, char *text, struct argp_state *state)
{
    fv_view_settings *out = state->input;
    if (key == ARGP_KEY_INIT) {
        *out = (fv_view_settings){.filter = FV_VIEW_FILTERS, .tool = FV_TOOL_VIEWS};
        return 0;
    }
    return fv_option_set(table, option_list, key, text, state, out);
}

const struct argp fv_views_argp = {.options = option_list, .parser = parse};

void fv_views_complete(fv_view_settings *views)
{
    views->min_pixels = views->min_pixels ? views->min_pixels : 262144;
    views->max_pixels = views->max_pixels ? views->max_pixels : 4194304;
    views->filter = views->filter == FV_VIEW_FILTERS ? FV_VIEW_BICUBIC : views->filter;
    views->tool = views->tool == FV_TOOL_VIEWS ? FV_TOOL_VIEW_WHOLE : views->tool;
}
