/* Settings of a configuration that may differ between what is begun and what goes on with it. Pure. Local. */
#ifndef FOVEA_TRAIN_CHANGEABLE_SETTINGS_H
#define FOVEA_TRAIN_CHANGEABLE_SETTINGS_H

typedef enum fv_change {
    FV_CHANGE_IN_RUN = 1, /* leaves every token and every weight as it is, or says how far to go and how */
    FV_CHANGE_IN_SELECTION = 2 /* changes no answer to a row (select.h) and no verdict on it */
} fv_change;

/* key: "section.key", or that of the top. */
int fv_setting_may_change(const char *key, fv_change of);

/* Whether key is among keys (ended by NULL), of which one with a dot at the end is a whole section. */
int fv_setting_is_among(const char *const *keys, const char *key);

#endif
