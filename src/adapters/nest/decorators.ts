import {
  createParamDecorator,
  HttpException,
  UnauthorizedException,
  UseGuards,
  type ExecutionContext,
  type PipeTransform,
  type Type,
} from "@nestjs/common";
import type { Duration } from "../../duration.ts";
import { SessionError } from "../../errors.ts";
import type { DeclaredData, Session as RequestSession } from "../../session.ts";
import type { AnyRequest } from "../../request/request.ts";
import { createRecentSignInGuard, createUserGuard, expectSession, type GuardOptions } from "../guards.ts";
import { connectionOf } from "./gateways.ts";

/** A pipe for the value of a parameter: its class, or an object of it. */
export type ParameterPipe = Type<PipeTransform> | PipeTransform;

/** The session of a request. */
export type Session<Data extends object = DeclaredData> = RequestSession<Data>;

/**
 * Gives a handler the session: of an HTTP request, of a gateway's connection, or of a GraphQL request whose context has it as
 * `req`. It is the type of the parameter too.
 *
 * @example
 * \@Get()
 * home(\@Session() session: Session) {
 *   return `Hello ${session.data.username ?? "stranger"}`;
 * }
 */
export const Session: () => ParameterDecorator = createParamDecorator(
  (_: unknown, context) => placeOf(context).session,
);

/**
 * Gives a handler the id of the user who signed in, or `undefined`. A pipe may turn it into the user.
 *
 * @example
 * \@Get("account")
 * \@SignedIn()
 * account(\@UserId() userId: string) {}
 */
export const UserId: (...pipes: ParameterPipe[]) => ParameterDecorator = createParamDecorator(
  (_: unknown, context) => placeOf(context).session.userId,
);

/** The options of {@link SignedIn}. */
export interface SignedInOptions extends GuardOptions {
  /** The maximum time since the sign-in, such as `"10m"`. Default: any sign-in will do. */
  within?: Duration | undefined;
}

/**
 * Guards a handler, or all of a controller, a resolver or a gateway. Without a signed-in user, the answer is Nest's 401 (`errorCode`
 * is `ERR_SESSION_SIGN_IN`), or a redirect to `loginPage`.
 *
 * @example
 * \@Post("pay")
 * \@SignedIn({ within: "10m", loginPage: "/login" })
 * pay() {}
 *
 * @throws TypeError for an unknown option, and for a `loginPage` that is no path of this site.
 */
export function SignedIn(options: SignedInOptions = {}): MethodDecorator & ClassDecorator {
  const { within, ...others } = options;
  const decide =
    within === undefined
      ? createUserGuard("nest", others, "SignedIn")
      : createRecentSignInGuard("nest", { ...others, within }, "SignedIn");

  return UseGuards({
    async canActivate(context: ExecutionContext) {
      const { kind, request, session } = placeOf(context);
      let location: string | undefined;
      try {
        location = await decide(request, session);
      } catch (error) {
        throw error instanceof SessionError && error.status === 401 ? await refusal(kind, error) : error;
      }
      if (location === undefined) return true;
      // Nest answers for a guard only by an exception.
      if (kind !== "http") throw await refusal(kind, new SessionError("ERR_SESSION_SIGN_IN", "Please sign in"));
      context
        .switchToHttp()
        .getResponse<{ header(name: string, value: string): unknown }>()
        .header("Location", location);
      throw new HttpException("See Other", 303);
    },
  });
}

/** An error in the form in which Nest sends it to the client. */
async function refusal(kind: Kind, error: SessionError): Promise<Error> {
  if (kind !== "ws") return new UnauthorizedException(error.message, { cause: error, errorCode: error.code });
  // Only an application with gateways has it.
  const { WsException } = await import("@nestjs/websockets");
  return new WsException({ status: "error", message: error.message, errorCode: error.code });
}

type Kind = "http" | "ws" | "graphql";

interface Place {
  readonly kind: Kind;
  readonly request: AnyRequest;
  readonly session: RequestSession<object>;
}

interface WithSession {
  readonly session?: unknown;
}

/** Finds the session of whatever Nest is handling. */
function placeOf(context: ExecutionContext): Place {
  const kind = context.getType<Kind>();
  if (kind === "ws") return { kind, ...connectionOf(context.switchToWs().getClient<object>()) };
  const request = kind === "graphql" ? requestOfGraphQL(context) : context.switchToHttp().getRequest<WithSession>();
  return { kind, request: request as AnyRequest, session: expectSession(request?.session, "nest") };
}

/** Apollo's context has the request. Mercurius has the reply, which has it. */
function requestOfGraphQL(context: ExecutionContext): WithSession | undefined {
  type Given = { readonly req?: WithSession; readonly reply?: { readonly request: WithSession } } | undefined;
  const given = context.getArgByIndex<Given>(2);
  return given?.req ?? given?.reply?.request;
}
