/* The options that say how images are shown, of every program that asks about them. */
#ifndef FOVEA_JOBS_VIEWS_OPTIONS_H
#define FOVEA_JOBS_VIEWS_OPTIONS_H

#include "fovea/data/view.h"

#include <argp.h>

/* A child parser for them; its input is a fv_view_settings, which it sets to what is usual first. */
extern const struct argp fv_views_argp;

#endif
