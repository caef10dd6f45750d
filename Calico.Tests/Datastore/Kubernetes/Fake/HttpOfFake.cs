using System.Net;
using System.Text;
using Calico.Tests.Datastore.Etcd;

namespace Calico.Tests.Datastore.Kubernetes.Fake;

/// <summary>The fake API server on a port of loopback, for programs of their own; without watches.</summary>
internal sealed class HttpOfFake : IAsyncDisposable
{
    private readonly FakeApi _api;
    private readonly HttpListener _listener = new();
    private readonly Task _serving;

    private HttpOfFake(FakeApi api, int port)
    {
        _api = api;
        Url = $"http://127.0.0.1:{port}";
        _listener.Prefixes.Add(Url + "/");
        _listener.Start();
        _serving = ServeAsync();
    }

    public string Url { get; }

    public static Task<HttpOfFake> StartAsync(FakeApi api) => Task.FromResult(new HttpOfFake(api, EtcdProcess.FreePort()));

    private async Task ServeAsync()
    {
        while (_listener.IsListening)
        {
            HttpListenerContext context;
            try
            {
                context = await _listener.GetContextAsync();
            }
            catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
            {
                return;
            }
            using var body = new MemoryStream();
            await context.Request.InputStream.CopyToAsync(body);
            var answer = _api.Handle(new HttpMethod(context.Request.HttpMethod), context.Request.Url!, body.Length == 0 ? null : body.ToArray());
            context.Response.StatusCode = (int)answer.Status;
            context.Response.ContentType = "application/json";
            await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes(answer.Body));
            context.Response.Close();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _listener.Close();
        await _serving;
    }
}
