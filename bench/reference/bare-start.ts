/** Reference of starting: the least Node server there is. */
import { createServer } from 'node:http'

const server = createServer((_request, response) => response.end())
server.listen(0, '127.0.0.1', () => process.stdout.write('listening\n'))
