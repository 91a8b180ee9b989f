/* The headers alone, in strict C99, and what can be said without a server. */
#include <postern.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "not so: %s\n", what);
  ++failures;
}

static int destroyed = 0;
static void count_destroy(void* user_data) { ++*(int*)user_data; }

int main(void) {
  postern_server* server = NULL;
  postern_error* error = NULL;
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_message_callbacks callbacks = POSTERN_MESSAGE_CALLBACKS_INIT;
  const char* wrong = "listen on lo0 port 25x\n";
  struct {
    postern_server_options known;
    int of_the_future;
  } newer;

  expect(strcmp(postern_version(), "0.1.0") == 0, "the version is 0.1.0");
  expect(strcmp(postern_status_name(POSTERN_ERR_LIMIT), "POSTERN_ERR_LIMIT") == 0,
         "statuses have names");
  expect(strcmp(postern_status_name(-9999), "POSTERN_ERR_UNKNOWN") == 0,
         "unknown statuses have one, too");
  postern_error_free(NULL);
  postern_server_free(NULL);

  expect(postern_server_new(&server, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "a configuration is needed");
  expect(server == NULL && error != NULL, "there is an error and no server");
  expect(*postern_error_message(error) != '\0', "the error has a message");
  postern_error_free(error);
  error = NULL;

  callbacks.user_data = &destroyed;
  callbacks.destroy_user_data = count_destroy;
  options.message = &callbacks;
  options.config_text = wrong;
  options.config_text_len = strlen(wrong);
  expect(postern_server_new(&server, &options, &error) == POSTERN_ERR_INVALID_ARGUMENT,
         "a wrong configuration is refused");
  expect(strstr(postern_error_message(error), "<text>:1:") != NULL, "the error names the line");
  expect(strcmp(postern_error_reason(error), "config") == 0, "the reason is the configuration");
  expect(destroyed == 1, "user data is destroyed once when new fails");
  postern_error_free(error);
  error = NULL;

  memset(&newer, 0, sizeof newer);
  newer.known = options;
  newer.known.message = NULL;
  newer.known.struct_size = sizeof newer;
  expect(postern_server_new(&server, &newer.known, NULL) == POSTERN_ERR_INVALID_ARGUMENT,
         "a larger struct whose tail is zero is taken for what is known of it");
  newer.of_the_future = 1;
  expect(postern_server_new(&server, &newer.known, NULL) == POSTERN_ERR_VERSION,
         "an unknown field that is set is refused");
  expect(postern_server_start(NULL, NULL) == POSTERN_ERR_INVALID_ARGUMENT, "NULL is no server");
  return failures == 0 ? 0 : 1;
}
