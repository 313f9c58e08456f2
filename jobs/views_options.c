#include "jobs/views_options.h"
#include "jobs/runtime.h"

#include <string.h>

enum { KEY_MIN_PIXELS = 0x101, KEY_MAX_PIXELS, KEY_TRANSPARENCY };

static const struct argp_option option_list[] = {
    {0, 0, 0, 0, "Images:", 0},
    {"min-pixels", KEY_MIN_PIXELS, "N", 0,
     "of the high-resolution view, at least, where a row does not say its size (262144)", 0},
    {"max-pixels", KEY_MAX_PIXELS, "N", 0, "the same, at most (4194304)", 0},
    {"transparency", KEY_TRANSPARENCY, "NAME", 0,
     "what is behind transparent pixels: white, or drop: the colour that is stored with them is shown "
     "(white)",
     0},
    {0}};

static fv_alpha parse_alpha(struct argp_state *state, const char *text)
{
    if (strcmp(text, "drop") == 0)
        return FV_ALPHA_DROP;
    if (strcmp(text, "white") != 0)
        argp_error(state, "--transparency is \"%s\", expected white or drop", text);
    return FV_ALPHA_WHITE;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    fv_view_settings *out = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        *out = (fv_view_settings){.min_pixels = 262144, .max_pixels = 4194304};
        return 0;
    case KEY_MIN_PIXELS:
        out->min_pixels = fv_parse_integer(state, "--min-pixels", text, 1, INT32_MAX);
        return 0;
    case KEY_MAX_PIXELS:
        out->max_pixels = fv_parse_integer(state, "--max-pixels", text, 1, INT32_MAX);
        return 0;
    case KEY_TRANSPARENCY:
        out->transparency = parse_alpha(state, text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp fv_views_argp = {.options = option_list, .parser = parse};
