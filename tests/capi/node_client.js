// Loads a Postern server into this process and speaks STARTTLS to it with node's own TLS.
const net = require('net');
const tls = require('tls');
const fs = require('fs');

const module_ = { exports: {} };
process.dlopen(module_, process.env.POSTERN_ADDON);

function fail(why) {
  console.error(why);
  process.exit(1);
}
setTimeout(() => fail('no answer in time'), 20000);

const socket = net.connect(Number(process.env.POSTERN_TEST_PORT), '127.0.0.1');
const lines = [];
let said = 0;
socket.on('data', onData);
function onData(data) {
  for (const line of data.toString().split('\r\n')) {
    if (!/^\d{3} /.test(line)) continue;
    lines.push(line);
    if (said === 0) socket.write('EHLO node.test\r\n');
    else if (said === 1) socket.write('STARTTLS\r\n');
    else secure();
    said += 1;
  }
}
function secure() {
  socket.removeListener('data', onData);
  const secured = tls.connect({
    socket,
    ca: fs.readFileSync(process.env.POSTERN_TEST_CA),
    servername: 'example.test',
  });
  secured.on('secureConnect', () => {
    if (!secured.authorized) fail(secured.authorizationError);
    secured.write('EHLO node.test\r\nQUIT\r\n');
  });
  let text = '';
  secured.on('data', (data) => {
    text += data;
    if (/^221 /m.test(text)) {
      console.log(`${secured.getProtocol()} ${text.split('\r\n').length} lines`);
      process.exit(0);
    }
  });
  secured.on('error', fail);
}
socket.on('error', fail);
