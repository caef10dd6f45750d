using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Grpc.Core;
using Grpc.Core.Interceptors;

namespace Calico.Datastore.Etcd;

/// <summary>
/// etcd's user and password: a client trades them for a token and sends that with every call. A token here is its own
/// expiry and a signature by a key that lives as long as the server, so that nothing needs to be kept for each.
/// </summary>
internal sealed class EtcdTokens(EtcdServerOptions options)
{
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);

    public bool Required => options.Username is not null;

    public string? Issue(string name, string password)
    {
        // Both are compared in full whatever differs, and at the same cost.
        var known = Same(name, options.Username!) & Same(password, options.Password!);
        return known ? Sign((options.Time.GetUtcNow() + options.TokenLifetime).ToUnixTimeMilliseconds()) : null;
    }

    public bool IsValid(string? token) =>
        token?.Split('.') is [var expiry, _]
        && long.TryParse(expiry, NumberStyles.None, CultureInfo.InvariantCulture, out var ends)
        && Same(token, Sign(ends))
        && ends > options.Time.GetUtcNow().ToUnixTimeMilliseconds();

    private string Sign(long expiry)
    {
        var text = expiry.ToString(CultureInfo.InvariantCulture);
        return $"{text}.{Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.ASCII.GetBytes(text)))}";
    }

    private bool Same(string left, string right) => CryptographicOperations.FixedTimeEquals(
        HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(left)), HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(right)));
}

internal sealed class AuthService(EtcdTokens tokens, EtcdService service) : Wire.Auth.AuthBase
{
    public override Task<Wire.AuthenticateResponse> Authenticate(Wire.AuthenticateRequest request, ServerCallContext context)
    {
        if (!tokens.Required)
            throw EtcdErrors.Rpc(StatusCode.FailedPrecondition, EtcdErrors.AuthenticationNotEnabled);
        var token = tokens.Issue(request.Name, request.Password)
            ?? throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.AuthenticationFailed);
        return Task.FromResult(new Wire.AuthenticateResponse { Header = service.Header(), Token = token });
    }
}

/// <summary>Lets no call but Authenticate in without a token, where tokens are required.</summary>
internal sealed class TokenInterceptor(EtcdTokens tokens) : Interceptor
{
    public const string Metadata = "token";
    private const string Open = "/etcdserverpb.Auth/Authenticate";

    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context,
        UnaryServerMethod<TRequest, TResponse> continuation)
    {
        Check(context);
        return continuation(request, context);
    }

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(IAsyncStreamReader<TRequest> requestStream,
        IServerStreamWriter<TResponse> responseStream, ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation)
    {
        Check(context);
        return continuation(requestStream, responseStream, context);
    }

    private void Check(ServerCallContext context)
    {
        if (!tokens.Required || context.Method == Open)
            return;
        var token = context.RequestHeaders.GetValue(Metadata);
        if (token is null)
            throw EtcdErrors.Rpc(StatusCode.InvalidArgument, EtcdErrors.UserEmpty);
        if (!tokens.IsValid(token))
            throw EtcdErrors.Rpc(StatusCode.Unauthenticated, EtcdErrors.InvalidToken);
    }
}
