/* Runs a server inside node, on a thread: node exports its OpenSSL's symbols to everything it
 * loads, so a library that leaves any of BoringSSL's open to the linker breaks here. node calls
 * napi_register_module_v1; nothing of N-API itself is needed. */
#include <dlfcn.h>
#include <postern.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static postern_status (*run)(postern_server*, postern_error**);

static void* serve(void* server) {
  run(server, NULL);
  return NULL;
}

__attribute__((visibility("default"))) void* napi_register_module_v1(void* env, void* exports);

void* napi_register_module_v1(void* env, void* exports) {
  void* library = dlopen(getenv("POSTERN_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
  postern_status (*new_server)(postern_server**, const postern_server_options*, postern_error**);
  postern_status (*start)(postern_server*, postern_error**);
  const char* (*message)(const postern_error*);
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  pthread_t thread;
  (void)env;
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  *(void**)&new_server = dlsym(library, "postern_server_new");
  *(void**)&start = dlsym(library, "postern_server_start");
  *(void**)&run = dlsym(library, "postern_server_run");
  *(void**)&message = dlsym(library, "postern_error_message");
  options.config_path = getenv("POSTERN_TEST_CONFIG");
  options.in_memory = 1;
  if (new_server(&server, &options, &error) != POSTERN_OK || start(server, &error) != POSTERN_OK) {
    fprintf(stderr, "%s\n", message(error));
    exit(1);
  }
  pthread_create(&thread, NULL, serve, server);
  pthread_detach(thread);
  return exports;
}
