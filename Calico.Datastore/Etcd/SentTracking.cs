using System.Net;

namespace Calico.Datastore.Etcd;

/// <summary>
/// Whether the message of a call has begun to leave. The body of a request is asked for only after its headers were sent on
/// a connection that stands; a server that got no body has carried nothing out, however the call failed.
/// </summary>
internal sealed class SentTracking
{
    private static readonly AsyncLocal<SentTracking?> Current = new();
    private volatile bool _sent;

    public bool Sent => _sent;

    /// <summary>Follows the call that this flow makes next.</summary>
    public static SentTracking Begin() => Current.Value = new SentTracking();

    /// <summary>The part that sits in the channel.</summary>
    internal sealed class Handler(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (Current.Value is { } tracking && request.Content is { } content)
                request.Content = new Content(content, tracking);
            return base.SendAsync(request, cancellationToken);
        }
    }

    private sealed class Content : HttpContent
    {
        private readonly HttpContent _inner;
        private readonly SentTracking _tracking;

        public Content(HttpContent inner, SentTracking tracking)
        {
            (_inner, _tracking) = (inner, tracking);
            foreach (var (name, values) in inner.Headers)
                Headers.TryAddWithoutValidation(name, values);
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
            SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            _tracking._sent = true;
            return _inner.CopyToAsync(stream, context, cancellationToken);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                _inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
