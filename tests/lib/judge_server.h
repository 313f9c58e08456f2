/* Starts and stops tests/server/judge_server, with temp_folder.h. */
#ifndef FOVEA_JUDGE_SERVER_H
#define FOVEA_JUDGE_SERVER_H

#include "temp_folder.h"

#include <sys/types.h>

typedef struct judge_server {
    pid_t process;
    int input;       /* the server ends when this is closed, also by our death */
    char folder[64]; /* under temp_path */
    char url[64];
} judge_server;

/* Of names in temp_path("tls"), once. */
void server_certificates(void);

/* arguments: as in judge_server.c, ended by NULL, at most 14. certificate: of temp_path("tls"); NULL: plain
 * http. */
void server_start(judge_server *server, const char *name, const char *certificate,
                  const char *const *arguments);

/* How many requests it has had; those of one fault or verdict if word is not NULL. */
int server_requests(const judge_server *server, const char *word);

void server_stop(judge_server *server);

#endif
