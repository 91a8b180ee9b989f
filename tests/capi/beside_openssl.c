/* A program with an OpenSSL of its own that links Postern: the server and OpenSSL's client shake
 * hands in one process, first OpenSSL's own both sides over memory, then with the server. Which
 * OpenSSL and which libpostern, static or shared, is the linker's business; a symbol that the two
 * share would show here as a crash or a failed handshake.
 *
 *   beside_openssl CERTIFICATE KEY PORT */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <postern.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static void fail(const char* what) {
  fprintf(stderr, "beside_openssl: %s\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static void* serve(void* server) {
  return postern_server_run(server, NULL) == POSTERN_OK ? server : NULL;
}

/* Reads lines until one whose fourth octet is a blank, and returns its code. */
static int reply(SSL* ssl, int fd) {
  char line[1024];
  size_t used = 0;
  for (;;) {
    const int got = ssl ? SSL_read(ssl, line + used, 1) : (int)read(fd, line + used, 1);
    if (got != 1 || used + 1 == sizeof line) fail("no reply");
    if (line[used++] != '\n') continue;
    if (used > 4 && line[3] == ' ') return atoi(line);
    used = 0;
  }
}

static void say(SSL* ssl, int fd, const char* text, int expected) {
  const int len = (int)strlen(text);
  const int sent = len == 0 ? 0
                   : ssl    ? SSL_write(ssl, text, len)
                            : (int)write(fd, text, (size_t)len);
  if (sent != len) fail("cannot write");
  if (reply(ssl, fd) != expected) fail(text);
}

/* OpenSSL with itself: its certificate, key and random numbers work in this process. */
static void openssl_with_itself(SSL_CTX* client_context, const char* certificate, const char* key) {
  SSL_CTX* server_context = SSL_CTX_new(TLS_server_method());
  SSL *client = SSL_new(client_context), *server;
  BIO *here, *there;
  int turn;
  if (SSL_CTX_use_certificate_chain_file(server_context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(server_context, key, SSL_FILETYPE_PEM) != 1) {
    fail("OpenSSL does not take the certificate");
  }
  server = SSL_new(server_context);
  BIO_new_bio_pair(&here, 0, &there, 0);
  SSL_set_bio(client, here, here);
  SSL_set_bio(server, there, there);
  SSL_set_connect_state(client);
  SSL_set_accept_state(server);
  for (turn = 0; turn < 20 && !(SSL_is_init_finished(client) && SSL_is_init_finished(server));
       ++turn) {
    SSL_do_handshake(client);
    SSL_do_handshake(server);
  }
  if (!SSL_is_init_finished(client) || !SSL_is_init_finished(server))
    fail("OpenSSL does not shake hands with itself");
  SSL_free(client);
  SSL_free(server);
  SSL_CTX_free(server_context);
}

int main(int argc, char** argv) {
  char config[2048];
  postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
  postern_server* server = NULL;
  postern_error* error = NULL;
  pthread_t thread;
  void* served = NULL;
  struct sockaddr_in address;
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl;
  int fd;
  if (argc != 4) return 2;
  if (SSL_CTX_load_verify_locations(context, argv[1], NULL) != 1)
    fail("OpenSSL does not read the certificate");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  openssl_with_itself(context, argv[1], argv[2]);

  snprintf(config, sizeof config,
           "mailname \"example.test\"\npki example.test cert \"%s\"\npki example.test key \"%s\"\n"
           "listen on 127.0.0.1 port %s tls pki example.test\naction taken relay\nmatch from any "
           "for any action taken\n",
           argv[1], argv[2], argv[3]);
  options.config_text = config;
  options.config_text_len = strlen(config);
  options.in_memory = 1;
  if (postern_server_new(&server, &options, &error) != POSTERN_OK ||
      postern_server_start(server, &error) != POSTERN_OK) {
    fail(postern_error_message(error));
  }
  pthread_create(&thread, NULL, serve, server);

  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)atoi(argv[3]));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr*)&address, sizeof address) != 0) fail("cannot connect");
  say(NULL, fd, "", 220);
  say(NULL, fd, "EHLO client.test\r\n", 250);
  say(NULL, fd, "STARTTLS\r\n", 220);
  ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  SSL_set_tlsext_host_name(ssl, "example.test");
  if (SSL_connect(ssl) != 1) fail("the handshake failed");
  if (SSL_get_verify_result(ssl) != X509_V_OK) fail("the certificate does not verify");
  say(ssl, fd, "EHLO client.test\r\n", 250);
  say(ssl, fd, "QUIT\r\n", 221);
  printf("%s %s, %s\n", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
         OpenSSL_version(OPENSSL_VERSION));
  SSL_free(ssl);
  close(fd);
  SSL_CTX_free(context);
  postern_server_stop(server, 2000);
  pthread_join(thread, &served);
  postern_server_free(server);
  return served == NULL;
}
