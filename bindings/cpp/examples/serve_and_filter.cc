// A mail server in this process: a filter that knows a sender whom it does not want, and a function
// that gets every other message. A client in a thread says what one does.
#include <arpa/inet.h>
#include <cstdio>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <postern/server.hpp>

namespace {

// Talk says all of `script` and gives what is answered until the server closes.
std::string Talk(uint16_t port, const std::string& script) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  std::string heard;
  char buffer[4096];
  ssize_t got = -1;
  if (connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      write(client, script.data(), script.size()) == static_cast<ssize_t>(script.size())) {
    while ((got = read(client, buffer, sizeof buffer)) > 0)
      heard.append(buffer, static_cast<size_t>(got));
  }
  close(client);
  return heard;
}

}  // namespace

int main() {
  postern::ServerOptions options;
  options.config_text =
      "listen on 127.0.0.1 port 0\n"
      "action \"mine\" relay\n"
      "match from any for any action \"mine\"\n";
  options.in_memory = true;
  options.filter.phases = 1u << POSTERN_PHASE_MAIL_FROM;
  options.filter.on_step = [](const postern::Step& step) {
    if (step.sender() == "spam@example.org")
      return postern::StepVerdict::Reject(550, "5.7.1 Not from you, " + std::string(step.helo()));
    return postern::StepVerdict::Proceed();
  };
  options.on_message = [](const postern::IncomingMessage& message) {
    std::printf("from %s to %s\n", std::string(message.reverse_path()).c_str(),
                std::string(message.recipients().at(0)).c_str());
    return postern::MessageVerdict::Take();
  };
  postern::Result<postern::Server> server = postern::Server::Make(std::move(options));
  if (!server || !server->Start()) {
    std::fprintf(stderr, "%s\n", server ? "not started" : server.error().message.c_str());
    return 1;
  }
  std::string heard;
  std::thread client([&] {
    heard = Talk(server->port(0),
                 "EHLO client.example\r\nMAIL FROM:<spam@example.org>\r\n"
                 "MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n"
                 "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");
    server->Stop();
  });
  const postern::Result<postern::Done> ran = server->Run();
  client.join();
  std::printf("%s", heard.c_str());
  return ran ? 0 : 1;
}
