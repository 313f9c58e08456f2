/* The options that say how images are shown, of every program that asks about them. */
#ifndef FOVEA_JOBS_VIEWS_OPTIONS_H
#define FOVEA_JOBS_VIEWS_OPTIONS_H

#include "fovea/data/view.h"

#include <argp.h>

/* A child parser for them; its input is a fv_view_settings, whose bounds are 0, filter
 * FV_VIEW_FILTERS and tool FV_TOOL_VIEWS where nothing is said. */
extern const struct argp fv_views_argp;

/* What is usual, where nothing is said. */
void fv_views_complete(fv_view_settings *views);

#endif
