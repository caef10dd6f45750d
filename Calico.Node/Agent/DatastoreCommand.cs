using System.CommandLine;
using System.Net;
using Calico.Datastore;
using Calico.Datastore.Embedded;
using Calico.Datastore.Etcd;
using Calico.Node.Logging;
using Serilog;

namespace Calico.Node.Agent;

/// <summary>
/// <c>calico-node datastore</c>: serves the embedded store over etcd's v3 API, for clusters that have no etcd. The
/// options are named as etcd's own.
/// </summary>
internal static class DatastoreCommand
{
    public static Command Create()
    {
        var listen = new Option<string>("--listen") { Description = "Address and port to serve on.", DefaultValueFactory = _ => "127.0.0.1:2379" };
        var data = new Option<string>("--data-dir") { Description = "Folder of the store.", DefaultValueFactory = _ => "/var/lib/calico/datastore" };
        var cert = new Option<string?>("--cert-file") { Description = "Server certificate (PEM)." };
        var key = new Option<string?>("--key-file") { Description = "Key of the certificate (PEM)." };
        var ca = new Option<string?>("--trusted-ca-file") { Description = "Clients must show a certificate that this CA signed (PEM)." };
        var command = new Command("datastore", "Serve the embedded datastore over etcd's API.") { listen, data, cert, key, ca };
        command.SetAction((parsed, cancellation) => RunAsync(parsed.GetValue(listen)!, parsed.GetValue(data)!,
            parsed.GetValue(cert), parsed.GetValue(key), parsed.GetValue(ca), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(string listen, string data, string? cert, string? key, string? ca, CancellationToken cancellation)
    {
        Logs.Open(null);
        if (!IPEndPoint.TryParse(listen, out var endpoint))
        {
            Log.Fatal("datastore: --listen is '{Listen}' and must be an address and a port, such as 127.0.0.1:2379", listen);
            return 1;
        }
        try
        {
            await using var store = EmbeddedDatastore.Open(new EmbeddedOptions { Directory = data });
            await using var server = await EtcdServer.StartAsync(store, new EtcdServerOptions
            {
                Listen = endpoint,
                Tls = cert is null && ca is null ? null : new TlsOptions { CertificateFile = cert, KeyFile = key, CaFile = ca },
            }, cancellation);
            Log.Information("datastore: serving {Folder} on {Url}", data, server.Url);
            await Task.Delay(Timeout.Infinite, cancellation);
            return 0;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return 0;
        }
        catch (DatastoreException e)
        {
            Log.Fatal("datastore: {Cause}", e.Message);
            return 1;
        }
        finally
        {
            await Log.CloseAndFlushAsync();
        }
    }
}
