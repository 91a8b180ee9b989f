/* What the programs share: run a server in the foreground until a signal, or check a configuration.
 */
#ifndef POSTERN_TOOLS_SERVE_H
#define POSTERN_TOOLS_SERVE_H

/* What the command line asked for. Strings live as long as main. */
struct serve_options {
  const char* config_path;
  const char* spool_path; /* NULL: as the configuration says */
  int log_level;          /* least POSTERN_LOG_* that is shown */
  unsigned workers;       /* 0: the library's default */
  const char* user; /* whom a server that root starts becomes; NULL: "postern" if there is one */
};

/* serve runs the server until SIGINT or SIGTERM and returns the exit status of the program: 0, or 1
 * after saying on standard error what is wrong. */
int serve(const struct serve_options* options);

/* check says whether the configuration is right, or what is wrong where; returns 0 or 1. */
int check(const struct serve_options* options);

#endif /* POSTERN_TOOLS_SERVE_H */
