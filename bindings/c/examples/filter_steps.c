/* Receives mail on port 2525, from those who say who they are, and not for "nobody". */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int starts_with(postern_str text, const char* start) {
  return text.len >= strlen(start) && memcmp(text.data, start, strlen(start)) == 0;
}

static postern_status on_step(const postern_step* step, postern_step_verdict* verdict,
                              void* user_data) {
  postern_str said = postern_step_argument(step);
  (void)user_data;
  switch (postern_step_phase(step)) {
    case POSTERN_PHASE_EHLO:
      if (starts_with(said, "localhost")) verdict->action = POSTERN_STEP_JUNK;
      break;
    case POSTERN_PHASE_RCPT_TO:
      if (!starts_with(said, "nobody@")) break;
      verdict->action = POSTERN_STEP_REJECT;
      verdict->reply_code = 550;
      strcpy(verdict->text, "5.1.1 Nobody is nobody");
      break;
    default: break;
  }
  return POSTERN_OK;
}

static void on_event(const postern_step* step, const char* event, void* user_data) {
  postern_str session = postern_step_session(step), what = postern_step_argument(step);
  (void)user_data;
  printf("%.*s %s %.*s\n", (int)session.len, session.data, event, (int)what.len, what.data);
  fflush(stdout);
}

int main(int argc, char** argv) {
  const char* config = argc > 1 ? argv[1]
                                : "listen on 127.0.0.1 port 2525\naction kept relay\nmatch from "
                                  "any for any action kept\n";
  postern_filter_callbacks filter = POSTERN_FILTER_CALLBACKS_INIT;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  filter.phases = 1u << POSTERN_PHASE_EHLO | 1u << POSTERN_PHASE_RCPT_TO;
  filter.on_step = on_step;
  filter.on_event = on_event;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  options.filter = &filter;
  if (postern_server_new(&server, &options, &error) != POSTERN_OK ||
      postern_server_start(server, &error) != POSTERN_OK ||
      postern_server_run(server, &error) != POSTERN_OK) {
    fprintf(stderr, "%s\n", postern_error_message(error));
  }
  postern_error_free(error);
  postern_server_free(server);
  return 0;
}
