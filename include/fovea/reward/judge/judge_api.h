/* A language model behind an API as a judge: chat completions as OpenAI, Azure and many servers offer them.
 * Local.
 *
 * The key is read from the environment or from a file, and lives in this process's memory only: no message,
 * log or file of ours holds it.
 *
 * A case is tried up to `tries` times: a reply without a verdict is asked for again, with a temperature that
 * rises by temperature_step, and a time-out or an error of the server after a pause drawn between 0 and a
 * bound that doubles (full jitter). A server that says it is busy is asked again after the time it names;
 * that is not a try. After several failures in a row no more is sent for a while, and then one request at a
 * time, rather of a case that has not failed yet, until one is answered; connections that fail in that time
 * are no tries either. budget_s after its first request, or after the server was last there, a case has no
 * verdict. A wrong key, an unknown model, a redirect or a bad certificate will not heal: they are failures.
 */
#ifndef FOVEA_REWARD_JUDGE_JUDGE_API_H
#define FOVEA_REWARD_JUDGE_JUDGE_API_H

#include "fovea/base/buffer.h"
#include "fovea/reward/judge/judge_prompt.h"

typedef enum fv_api_service { FV_API_OPENAI, FV_API_AZURE } fv_api_service;

/* Texts are never NULL; "": see each. */
typedef struct fv_judge_api_settings {
    fv_api_service service;
    const char *url;      /* up to "/chat/completions" (or, of Azure, "/openai"). "": the environment's */
    const char *model;    /* of Azure: the deployment */
    const char *key_file; /* readable by its owner only. "": the environment's */
    const char *ca_file;  /* PEM. "": the environment's, else the system's authorities */
    /* "Name: value; Name: value" for each request, beside or in place of our own. $NAME or ${NAME} in a value
     * is a variable of the environment, and as secret as a key; a key itself is refused here, since settings
     * are written into the folder of a run. "" or NULL: none. */
    const char *headers;
    int key_over_http; /* also to other machines than this */
    int in_flight;     /* requests at once */
    double deadline_s; /* of a request */
    int tries;
    double budget_s;
    double temperature, temperature_step;
    int reply_tokens; /* 0: the server's bound */
} fv_judge_api_settings;

/* prompt is taken, also on failure; the texts of settings are borrowed. FV_ERR_ARGUMENT: no key, a key for
 * plain http, a file that others may read, or a bad header. */
fv_err fv_judge_api_create(const fv_judge_api_settings *settings, fv_judge_prompt *prompt, fv_judge **out);

/* Append the JSON of the request for a case. */
fv_err fv_judge_api_request(const fv_judge_api_settings *settings, const fv_judge_prompt *prompt,
                            const fv_case *asked, double temperature, fv_buffer *out);

#endif
