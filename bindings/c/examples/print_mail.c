/* Receives mail on port 2525 and prints it. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static postern_status print_mail(const postern_message* mail, postern_message_verdict* verdict,
                                 void* user_data) {
  postern_str from = postern_message_reverse_path(mail), text = postern_message_content(mail);
  (void)user_data;
  printf("--- from <%.*s>\n%.*s\n", (int)from.len, from.data, (int)text.len, text.data);
  fflush(stdout);
  verdict->action = POSTERN_MESSAGE_TAKE;
  return POSTERN_OK;
}

int main(int argc, char** argv) {
  const char* config = argc > 1 ? argv[1]
                                : "listen on 127.0.0.1 port 2525\naction taken relay\nmatch from "
                                  "any for any action taken\n";
  postern_message_callbacks callbacks = POSTERN_MESSAGE_CALLBACKS_INIT;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  callbacks.on_message = print_mail;
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  options.message = &callbacks;
  if (postern_server_new(&server, &options, &error) != POSTERN_OK ||
      postern_server_start(server, &error) != POSTERN_OK ||
      postern_server_run(server, &error) != POSTERN_OK) {
    fprintf(stderr, "%s\n", postern_error_message(error));
  }
  postern_error_free(error);
  postern_server_free(server);
  return 0;
}
