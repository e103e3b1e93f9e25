import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from "@nestjs/common";
import { HttpAdapterHost } from "@nestjs/core";
import { SessionError } from "sojourn";
import { html } from "./html.js";

/** Shows errors as pages. Without it, Nest answers with JSON. */
@Catch(HttpException, SessionError)
export class ErrorPageFilter implements ExceptionFilter<HttpException | SessionError> {
  constructor(private readonly host: HttpAdapterHost) {}

  catch(error: HttpException | SessionError, context: ArgumentsHost) {
    const { httpAdapter } = this.host;
    const response: unknown = context.switchToHttp().getResponse();
    const status = error instanceof SessionError ? error.status : error.getStatus();
    const message = status < 500 ? error.message : "Please try again in a moment.";
    if (status >= 500) console.error(error);
    httpAdapter.setHeader(response, "Content-Type", "text/html; charset=utf-8");
    httpAdapter.reply(
      response,
      html`<h1>${message}</h1>
        <a href="/">To the first page</a>`,
      status,
    );
  }
}
