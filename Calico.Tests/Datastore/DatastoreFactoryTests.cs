using Calico.Datastore;
using Calico.Datastore.Etcd;
using Calico.Tests.Datastore.Etcd;

namespace Calico.Tests.Datastore;

[Layer("unit")]
public class DatastoreFactoryTests
{
    [Fact]
    public async Task The_embedded_store_is_opened_in_its_folder()
    {
        using var directory = new TemporaryDirectory();

        await using var store = DatastoreFactory.OpenEmbedded(Path.Combine(directory.Path, "new", "folder"));

        Assert.Equal(2, await store.PutAsync("/a"));
    }

    [Fact]
    public async Task Endpoints_are_separated_by_commas_and_a_user_without_a_password_is_nobody()
    {
        await using var served = await ServedStore.StartAsync(new EtcdServerOptions { Username = "calico", Password = "secret" });
        var endpoints = $" {served.Url}, {served.Url} ,";
        await using var known = DatastoreFactory.OpenEtcd(endpoints, username: "calico", password: "secret");
        await using var nobody = DatastoreFactory.OpenEtcd(endpoints, username: "calico", password: "");

        await known.PutAsync("/a");

        Assert.Equal(DatastoreFault.Denied, (await DatastoreExtensions.FaultAsync(() => nobody.GetAsync("/a"))).Fault);
    }

    [Fact]
    public void No_endpoint_is_an_error() =>
        Assert.Equal(DatastoreFault.Invalid, Assert.Throws<DatastoreException>(() => DatastoreFactory.OpenEtcd(" , ")).Fault);
}
